/** The one event stream: progress bars, the journal and `--json` read it. Sent often; a listener must be quick. */
export type RunEvent =
  | {
      readonly kind: 'step'
      readonly step: string
      readonly state: 'begin' | 'end'
      readonly ms?: number
      readonly rows?: number
    }
  | {
      readonly kind: 'rows'
      readonly step: string
      /** Rows done so far, and how many there will be when the source could tell. */
      readonly done: number
      readonly total: number | null
      readonly bytes: number
    }
  | {
      readonly kind: 'note'
      readonly level: 'info' | 'warn' | 'error'
      readonly text: string
      readonly code?: string
      /** The object that it is of, where the text has figures that differ each time. */
      readonly about?: string
      /** The message of the error that it tells of: whoever tells that error himself tells it once. */
      readonly cause?: string
    }

export type Emit = (event: RunEvent) => void
