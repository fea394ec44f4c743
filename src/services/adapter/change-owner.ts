import type { CaptureProblem } from './contract-capture.ts'

/**
 * Why a second project does not capture by triggers or an outbox where another does: each deletes the changes that it has
 * read, which the other has not. Nothing says that the first is gone but a person.
 */
export function ownedByOther(given: {
  readonly technique: string
  readonly owner: string
  /** The statement that lets go of it. */
  readonly take: string
}): CaptureProblem {
  const { technique, owner, take } = given
  const what = technique === 'event' ? 'the outbox' : 'the triggers and change tables'
  return {
    table: null,
    text: `${what} of this database belong to ${owner}, which deletes the changes that it has read`,
    fix: `Read all its tables in that project, or use the technique 'log', of which each project has its own. When that project is gone (its folder .naru is what knows its stream): ${take};`,
    isFatal: true,
  }
}
