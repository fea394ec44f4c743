import { castPromises } from './conformance-casts.ts'
import { controlPromises } from './conformance-control.ts'
import { functionPromises } from './conformance-functions.ts'
import { dialectFunctionPromises } from './conformance-dialect.ts'
import { portablePromises } from './conformance-portable.ts'
import { queryPromises } from './conformance-queries.ts'
import { rowPromises } from './conformance-rows.ts'
import { transactionPromises } from './conformance-transactions.ts'
import type { EnginePromise } from './conformance-support.ts'

/** What every engine must keep. The test runner of the caller names and runs each. */
export const enginePromises: readonly EnginePromise[] = [
  ...transactionPromises,
  ...queryPromises,
  ...controlPromises,
  ...rowPromises,
  ...functionPromises,
  ...castPromises,
  ...dialectFunctionPromises,
  ...portablePromises,
]
