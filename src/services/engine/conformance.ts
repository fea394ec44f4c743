import { besidePromises } from './conformance-beside.ts'
import { castPromises } from './conformance-casts.ts'
import { controlPromises } from './conformance-control.ts'
import { functionPromises } from './conformance-functions.ts'
import { dialectFunctionPromises } from './conformance-dialect.ts'
import { portablePromises } from './conformance-portable.ts'
import { queryPromises } from './conformance-queries.ts'
import { rowPromises } from './conformance-rows.ts'
import { takingPromises } from './conformance-taking.ts'
import { transactionPromises } from './conformance-transactions.ts'
import { inGroup, type GroupedPromise } from './conformance-support.ts'

/** What every engine must keep. The test runner of the caller names and runs each. */
export const enginePromises: readonly GroupedPromise[] = [
  ...inGroup('Transactions and queries', [
    ...transactionPromises,
    ...takingPromises,
    ...queryPromises,
    ...besidePromises,
    ...controlPromises,
  ]),
  ...inGroup('Types', rowPromises),
  ...inGroup('Casts', castPromises),
  ...functionPromises,
  ...portablePromises,
  ...inGroup('What stages count on', dialectFunctionPromises),
]
