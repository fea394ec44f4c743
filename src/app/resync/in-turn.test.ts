import { expect, test } from 'vitest'
import type { SourceTableDef } from '../../config/model.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { inTurn } from './in-turn.ts'

const never = new AbortController().signal
const table = (name: string): SourceTableDef => ({ source: 'shop', name }) as SourceTableDef

/** Work that ends when it is told to. */
function opening<T>(): {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
} {
  let resolve: (value: T) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

test('two who read one table again do it one after the other, in the order in which they came; others do not wait', async () => {
  const engine = {} as Engine
  const first = opening<string>()
  const told: string[] = []
  const tell = (text: string) => async (): Promise<void> => void told.push(text)
  const one = inTurn(engine, [table('a'), table('b')], never, () => first.promise)
  const two = inTurn(engine, [table('b')], never, tell('second of b'))
  await inTurn(engine, [table('c')], never, tell('c'))
  await inTurn({} as Engine, [table('b')], never, tell('b of another engine'))
  first.resolve('done')
  expect(await one).toBe('done')
  await two
  expect(told).toEqual(['c', 'b of another engine', 'second of b'])
})

test('who gives up while it waits ends at once, and nobody behind it comes before those that it waited for', async () => {
  const engine = {} as Engine
  const first = opening<void>()
  const stop = new AbortController()
  let isThird = false
  const one = inTurn(engine, [table('a')], never, () => first.promise)
  const two = inTurn(engine, [table('a')], stop.signal, () => Promise.reject(new Error('it must not begin')))
  const third = inTurn(engine, [table('a')], never, async () => void (isThird = true))
  stop.abort(new Error('given up'))
  await expect(two).rejects.toThrow('given up')
  // A turn of its own, without what is before it, would be over by now.
  await inTurn(engine, [table('b')], never, async () => undefined)
  expect(isThird).toBe(false)
  first.reject(new Error('the first failed'))
  await expect(one).rejects.toThrow('the first failed')
  await third
  expect(isThird).toBe(true)
})
