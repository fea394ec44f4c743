import path from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, longest first. Begun last, one of them would keep one processor busy while the others wait. */
const longest = [
  'test/crash/crash.test.ts',
  'test/journeys/server.test.ts',
  'test/crash/stream.test.ts',
  'test/journeys/engine-postgres.test.ts',
  'test/journeys/capture-races.test.ts',
  'test/package/package.test.ts',
  'test/journeys/regressions-log.test.ts',
  'test/journeys/paces.test.ts',
  'test/systems/mysql-live.test.ts',
  'test/systems/mysql-shapes.test.ts',
  'test/systems/odbc-writes-mariadb.test.ts',
  'test/systems/odbc-writes-postgres.test.ts',
]

/** Where vitest has no times of an earlier run, as on a fresh clone, it begins with the largest files. These come before. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => Number(isShared(a)) - Number(isShared(b)) || rankOf(a) - rankOf(b))
  }
}

/** Those that run in a process of others go together: it ends where the next file needs one of its own. */
function isShared({ project }: TestSpecification): boolean {
  return !project.config.isolate
}

function rankOf({ moduleId }: TestSpecification): number {
  const rank = longest.indexOf(path.relative(process.cwd(), moduleId))
  return rank < 0 ? longest.length : rank
}
