import type { Leftover } from './contract-capture.ts'

/** Estimates of the server, as it prints them. */
export interface LeftFigures {
  readonly rows: string
  readonly bytes: string
}

/** What a person is told of a change table that nobody reads any more. `triggers`: how many still write there. */
export function changeTableTexts(
  name: string,
  left: { readonly remote: string; readonly triggers: number; readonly figures: LeftFigures },
): Pick<Leftover, 'what' | 'keeps'> {
  const { rows, bytes } = left.figures
  if (left.triggers === 0) return { what: `the change table ${name}`, keeps: `it takes ${bytes} bytes` }
  return {
    what: `the change table ${name} with the triggers on "${left.remote}"`,
    keeps: `every write to the table is written there a second time, for ever: about ${rows} rows and ${bytes} bytes by now`,
  }
}

/** The same of an outbox. */
export function outboxTexts(name: string, { rows, bytes }: LeftFigures): Pick<Leftover, 'what' | 'keeps'> {
  return {
    what: `the outbox ${name}`,
    keeps: `what the application writes there stays for ever: about ${rows} rows and ${bytes} bytes by now. Let the application write there no more, first`,
  }
}
