import type { Technique } from './change.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, SourceTableDef } from './model.ts'

/** The condition for the rows of a table, when its config says one. Throws where its technique would give all rows. */
export function whereOf(
  where: string,
  condition: unknown,
  of: {
    readonly technique: ChangeDef['technique']
    readonly isAppend: boolean
    readonly filters: readonly Technique[] | undefined
  },
): Pick<SourceTableDef, 'where'> {
  if (condition === undefined) return {}
  if (typeof condition !== 'string' || condition.trim() === '') {
    throw mistake(`${where}: a condition is text in the SQL of the source, such as "region = 'EU'"`)
  }
  const { technique, isAppend, filters = [] } = of
  if (isAppend) throw mistake(`${where}: a table without a key is taken as a whole; leave its condition (where) out`)
  if (!filters.some(it => it === technique)) {
    throw mistake(
      `${where}: the technique "${technique}" gives changes of all rows; a condition (where) is for ${filters.join(', ')}`,
    )
  }
  return { where: condition }
}
