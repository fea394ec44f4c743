import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { joinSql, sql } from '../core/sql.ts'
import { never, openTestEngine } from '../testing/engine.ts'
import { keyShown, keyText } from './keys.ts'

const part = fc.option(fc.string({ unit: fc.constantFrom('a', '/', '\\', 'N', ' '), maxLength: 4 }))
const key = fc.array(part, { minLength: 2, maxLength: 3 })

test('keys of several columns share a text only when they are the same', async () => {
  const engine = await openTestEngine()
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(key, { minLength: 1, maxLength: 40 }), async keys => {
        const texts = await engine.transaction(never, tx =>
          tx.rows(
            joinSql(
              keys.map(
                (parts, i) => sql`select ${i} as i, ${keyText(parts.map(p => sql`cast(${p} as varchar)`))} as k`,
              ),
              ' union all ',
            ),
          ),
        )
        const byText = new Map(texts.map(row => [row['k'], JSON.stringify(keys[Number(row['i'])])]))
        for (const row of texts) expect(byText.get(row['k'] ?? null)).toBe(JSON.stringify(keys[Number(row['i'])]))
      }),
      { numRuns: 30 },
    )
  } finally {
    await engine.close()
  }
})

test('a key of one column is its plain text, a personal one a fingerprint', async () => {
  const engine = await openTestEngine()
  try {
    const [row] = await engine.transaction(never, tx =>
      tx.rows(sql`select ${keyText([sql`7`])} as n, ${keyText([sql`'a/b'`])} as t, ${keyText([sql`'a/b'`, sql`null`])} as c,
        ${keyShown([sql`'a'`], true)} as p`),
    )
    expect(row).toEqual({ n: '7', t: 'a/b', c: 'a\\/b/\\N', p: '#0cc175b9c0f1b6a831c399e269772661' })
  } finally {
    await engine.close()
  }
})
