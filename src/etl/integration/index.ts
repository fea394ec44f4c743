import { ident } from '../../core/sql.ts'
import type { EntityDef } from '../../config/model.ts'
import { isThere, unchanged, type ChangeSet, type StageContext } from '../../run/context.ts'
import type { Contributed, Integration } from './golden.ts'
import { hasChanges, mergeContributions } from './merge.ts'
import { exposeCleansed } from './view.ts'

export { controlTables, lookupIndexes } from './control-tables.ts'

/** One entity and what changed in the cleansed table of each of its contributions. */
export interface IntegrationInput {
  readonly entity: EntityDef
  readonly contributions: readonly Contributed[]
  /** Compute every golden record again: the config changed. Only what differs is handed on. */
  readonly rebuild?: boolean
}

/** `crosswalkChanged`: a source row belongs to another golden record now; what looked its key up has to look again. */
export type Integrated = ChangeSet & { readonly crosswalkChanged: boolean }

/**
 * Makes `ods.<entity>`: one golden record per real thing. Contributions that give the key are joined by it, those with
 * `match` are found by likeness; the crosswalk says which source row belongs to which record, `naru.conflict` where
 * they disagreed and who won. An entity of one contributor is a view over its cleansed rows.
 */
export async function integrate(ctx: StageContext, input: IntegrationInput): Promise<Integrated> {
  const rebuild = input.rebuild ?? false
  const [only, ...more] = input.contributions
  const result =
    only !== undefined && more.length === 0 && only.contribution.match === null
      ? { ...(await exposeCleansed(ctx, input.entity, only, rebuild)), crosswalkChanged: false }
      : await merge(ctx, input, rebuild)
  ctx.env.crash('integration.apply.after')
  return result
}

async function merge(
  ctx: StageContext,
  { entity, contributions }: IntegrationInput,
  rebuild: boolean,
): Promise<Integrated> {
  const target = ident('ods', entity.name)
  const full = rebuild || contributions.some(({ changes }) => changes.scope === 'all')
  if (!full && !contributions.some(hasChanges) && (await isThere(ctx, target)))
    return { ...unchanged(target), crosswalkChanged: false }
  const it: Integration = {
    entity,
    target,
    keyed: contributions.filter(from => from.contribution.match === null),
    matched: contributions.filter(from => from.contribution.match !== null),
    full,
    temp: what => ident('temp', `integration_${entity.name}_${what}`),
  }
  return mergeContributions(ctx, it)
}
