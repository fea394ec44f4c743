import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { codes } from './codes.ts'

test('every row of every room is in the table, and none hides another of its name', () => {
  const folder = path.join(import.meta.dirname, 'codes')
  const written = readdirSync(folder).flatMap(file =>
    [...readFileSync(path.join(folder, file), 'utf8').matchAll(/^ {2}([A-Z_]+): entry\(/gm)].map(match => match[1]),
  )
  expect(written.toSorted()).toEqual(Object.keys(codes).toSorted())
})
