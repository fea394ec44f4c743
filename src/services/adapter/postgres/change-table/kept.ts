import { keptColumns, type CapturedTable } from '../../contract-capture.ts'
import { writtenAnew } from '../written-anew.ts'

/** A column of a table, as the catalog has it. */
export interface SourceColumn {
  readonly name: string
  /** A column that is dropped and made anew gets another one. */
  readonly number: number
  readonly type: string
  /** The transaction that altered it last. */
  readonly altered: string
}

/** A table, as the catalog has it. */
export interface SourceForm {
  /** The file of its rows: another one when they were written anew. */
  readonly file: string
  readonly columns: readonly SourceColumn[]
}

/** A column that the triggers of a table keep. Without a form it was noted by an earlier version. */
export interface KeptColumn {
  readonly name: string
  /** Changes up to this number have no value of it. */
  readonly since: bigint
  /** How it was when its values were taken up. */
  readonly form?: Omit<SourceColumn, 'name'> & { readonly file: string }
}

/** As it is noted beside the table: names alone in notes of an earlier version. */
export function keptText(columns: readonly KeptColumn[]): string {
  return columns.map(it => [it.name, it.since, ...formText(it)].join('\u001e')).join('\u001f')
}

function formText({ form }: KeptColumn): readonly (string | number)[] {
  return form === undefined ? [] : [form.number, form.type, form.altered, form.file]
}

export function keptOf(text: string): readonly KeptColumn[] {
  if (text === '') return []
  return text.split('\u001f').map(entry => {
    const [name = '', since = '0', number, type = '', altered = '', file = ''] = entry.split('\u001e')
    const kept = { name, since: BigInt(since) }
    return number === undefined ? kept : { ...kept, form: { number: Number(number), type, altered, file } }
  })
}

/** Why a column that is kept is another one than it was, or has other values, though no trigger fired; `null` when it is not. */
export function otherColumn({ name, form }: KeptColumn, source: SourceForm): string | null {
  const now = source.columns.find(it => it.name === name)
  if (form === undefined || now === undefined) return null
  if (now.number === form.number && now.type !== form.type)
    return `column "${name}" was ${form.type} and is ${now.type}`
  return writtenAnew(name, form, { ...now, file: source.file })
}

/** Whether the triggers of a table are to be made anew, for the columns that are asked for. */
export function isOutgrown(table: CapturedTable, kept: readonly KeptColumn[], source: SourceForm): boolean {
  const asked = keptColumns(table)
  const isThere = (name: string): boolean => source.columns.some(it => it.name === name)
  if (asked.some(name => isThere(name) && !kept.some(it => it.name === name))) return true
  // What is told of a table that is followed is not taken up before it is read again.
  if (table.isFollowed === true) return false
  return kept.some(it => otherColumn(it, source) !== null || !(asked.includes(it.name) || isThere(it.name)))
}

/** What is kept from the change number `border` on, by triggers that are made anew. */
export function keptAnew(
  table: CapturedTable,
  given: { readonly kept: readonly KeptColumn[]; readonly source: SourceForm; readonly border: bigint },
): readonly KeptColumn[] {
  const { kept, source, border } = given
  return keptColumns(table).flatMap(name => {
    const before = kept.find(it => it.name === name)
    const isThere = source.columns.some(it => it.name === name)
    if (!isThere) return before ?? []
    const isSame = before !== undefined && otherColumn(before, source) === null
    // It is told, and taken up when the table is read again.
    if (before !== undefined && !isSame && table.isFollowed === true) return before
    return { name, since: isSame ? before.since : border, ...formOf(name, source) }
  })
}

/**
 * What is kept by triggers that stay as they are, also of a column that nobody asks for now. A column that is the same is
 * noted as it is now: what is done to it later is not to be taken together with what was done before.
 */
export function keptOn(kept: readonly KeptColumn[], source: SourceForm): readonly KeptColumn[] {
  return kept.map(it => (otherColumn(it, source) === null ? { ...it, ...formOf(it.name, source) } : it))
}

/** What is kept by triggers that were made just now. */
export function keptAtFirst(table: CapturedTable, source: SourceForm): readonly KeptColumn[] {
  return keptColumns(table).map(name => ({ name, since: 0n, ...formOf(name, source) }))
}

function formOf(name: string, { file, columns }: SourceForm): Pick<KeptColumn, 'form'> {
  const found = columns.find(it => it.name === name)
  if (found === undefined) return {}
  return { form: { number: found.number, type: found.type, altered: found.altered, file } }
}
