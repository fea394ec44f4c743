import { appendFile, readFile } from 'node:fs/promises'
import type { ColumnDef } from '../../core/types.ts'
import type { changeOp } from '../../core/change-slice.ts'

/** A value as a story in JSON has it: whole numbers, decimals' smallest units and times as numbers, everything else as text. */
export type StoryValue = string | number | boolean | null

/** A change of a story. Columns that its row does not name are unchanged. */
export interface StoryChange {
  readonly table: string
  readonly op: keyof typeof changeOp
  readonly row?: Readonly<Record<string, StoryValue>>
}

export interface StoryTable {
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
}

/** A transaction of a story, or a table that gets another shape. */
export type StoryLine =
  | { readonly at: number; readonly changes: readonly StoryChange[] }
  | { readonly at: number; readonly schema: { readonly table: string; readonly unseen?: string } & StoryTable }

interface StoryHead {
  /** Positions of another story mean nothing. */
  readonly id: string
  readonly tables: Readonly<Record<string, StoryTable>>
}

/** What happened in a scripted source so far. */
export interface Story extends StoryHead {
  readonly lines: readonly StoryLine[]
}

/** Begins a story in a file: a process that is killed and the one after it read the same. */
export async function beginStory(file: string, head: StoryHead): Promise<void> {
  await appendFile(file, `${JSON.stringify(head)}\n`)
}

/** What happens next in it. */
export async function continueStory(file: string, ...lines: readonly StoryLine[]): Promise<void> {
  await appendFile(file, lines.map(line => `${JSON.stringify(line)}\n`).join(''))
}

/** The story up to now: a line that is still being written is not there yet. */
export async function readStory(file: string): Promise<Story> {
  const text = await readFile(file, 'utf8')
  const [head, ...lines] = text.slice(0, text.lastIndexOf('\n')).split('\n')
  return { ...(JSON.parse(head as string) as StoryHead), lines: lines.map(line => JSON.parse(line) as StoryLine) }
}

/** A row of a scripted table. */
export type StoryRow = Readonly<Record<string, StoryValue>>

/** What the tables of a story hold after some of its lines: rows by the JSON of their key. */
export interface StoryState {
  readonly shape: ReadonlyMap<string, StoryTable>
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, StoryRow>>
}

export function stateAt({ tables, lines }: Story, count: number): StoryState {
  const shape = new Map(Object.entries(tables))
  const rows = new Map([...shape.keys()].map(name => [name, new Map<string, StoryRow>()]))
  for (const line of lines.slice(0, count)) {
    if ('schema' in line) shape.set(line.schema.table, line.schema)
    else applyTransaction(line.changes, shape, rows)
  }
  return { shape, rows }
}

function applyTransaction(
  changes: readonly StoryChange[],
  shape: ReadonlyMap<string, StoryTable>,
  tables: ReadonlyMap<string, Map<string, StoryRow>>,
): void {
  let moved: StoryRow | undefined
  for (const { table, op, row = {} } of changes) {
    const rows = tables.get(table) as Map<string, StoryRow>
    const key = JSON.stringify(shape.get(table)?.key.map(name => row[name]))
    const old = op === 'move' ? moved : rows.get(key)
    moved = op === 'delete' ? old : undefined
    if (op === 'truncate') rows.clear()
    else if (op === 'delete') rows.delete(key)
    else rows.set(key, { ...old, ...row })
  }
}
