import { inspect } from 'node:util'

/**
 * A value that must never be shown. It prints as `***` in text, JSON and inspection.
 * The config holds only where it comes from; `reveal` is called when a connection opens.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself, for the driver call that needs it and nothing else. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '***'
  }

  toJSON(): string {
    return '***'
  }

  [inspect.custom](): string {
    return '***'
  }
}

/** Where a secret comes from: plain data that a config may hold. Resolved when a connection opens. */
export interface SecretRef {
  readonly kind: 'secret'
  readonly from: 'env' | 'file'
  readonly name: string
}

/** Replaces each secret in `text` by `***`, so that a driver's message cannot carry one. */
export function redact(text: string, secrets: readonly Secret[]): string {
  let clean = text
  for (const secret of secrets) {
    const value = secret.reveal()
    // A one- or two-letter secret would blank half of every message and hides nothing.
    if (value.length > 2) clean = clean.replaceAll(value, '***')
  }
  return clean.replaceAll(/(\w+:\/\/[^\s:@/]*):[^\s@/]*@/g, '$1:***@')
}
