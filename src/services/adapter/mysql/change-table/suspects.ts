import type { IdRange } from '../../id-gaps.ts'

/** What a server was doing at one moment: keys of its open transactions and of its running statements. */
export interface Activity {
  /** `transaction@session` of every open transaction. */
  readonly transactions: readonly string[]
  /** `session:statement` of every running statement. */
  readonly statements: readonly string[]
}

/**
 * Tells which numbers without a row will never have one. A number is taken before its row is written, by a statement that
 * runs or a transaction that is open then. So whatever was going on after the hole was first seen is suspected of it; when
 * all of that has ended, and a view taken later still shows no row, there will be none.
 */
export class Suspects {
  /** By the start of the hole's first sight: what may still fill it. */
  readonly #of = new Map<string, Set<string>>()

  /** Holes that only a view taken from now on can fill no more: those that nothing is suspected of. */
  cleared(holes: readonly (IdRange & { readonly table: string })[], now: Activity): ReadonlySet<string> {
    const keys = new Set(holes.map(keyOf))
    for (const key of this.#of.keys()) if (!keys.has(key)) this.#of.delete(key)
    const going = new Set([...now.transactions.map(it => `t${it}`), ...now.statements.map(it => `s${it}`)])
    const cleared = new Set<string>()
    for (const key of keys) {
      const before = this.#of.get(key)
      const left = before === undefined ? new Set(going) : stillSuspected(before, going, now)
      this.#of.set(key, left)
      if (left.size === 0) cleared.add(key)
    }
    return cleared
  }
}

/** A hole that was filled in part is another one, which is suspected anew: that only takes longer. */
export function keyOf({ table, from, to }: IdRange & { readonly table: string }): string {
  return `${table} ${from}-${to}`
}

function stillSuspected(before: ReadonlySet<string>, going: ReadonlySet<string>, now: Activity): Set<string> {
  const left = new Set<string>()
  for (const key of before) {
    if (going.has(key)) left.add(key)
    else if (key.startsWith('s')) {
      // The statement has ended; its transaction may be open, and may have begun with it.
      const session = key.slice(1).split(':')[0] as string
      for (const it of now.transactions) if (it.endsWith(`@${session}`)) left.add(`t${it}`)
    }
  }
  return left
}
