import { adviceCodes } from './codes/advice.ts'
import { busCodes } from './codes/bus.ts'
import { captureCodes } from './codes/capture.ts'
import { commandCodes } from './codes/command.ts'
import { configCodes } from './codes/config.ts'
import { demoCodes } from './codes/demo.ts'
import { engineCodes } from './codes/engine.ts'
import { fileCodes } from './codes/files.ts'
import { httpCodes } from './codes/http.ts'
import { limitCodes } from './codes/limits.ts'
import { odbcCodes } from './codes/odbc.ts'
import { redisCodes } from './codes/redis.ts'
import { serverCodes } from './codes/server.ts'
import { sourceCodes } from './codes/sources.ts'
import { stageCodes } from './codes/stages.ts'
import { storageCodes } from './codes/storage.ts'
import { streamCodes } from './codes/stream.ts'
import { subscribeCodes } from './codes/subscribe.ts'
import { techniqueCodes } from './codes/techniques.ts'
import { transferCodes } from './codes/transfer.ts'
import { warehouseCodes } from './codes/warehouse.ts'
import { writeCodes } from './codes/writes.ts'

export type { CodeEntry } from './codes/entry.ts'

/** The table of every error a user can meet, by room. `docs/errors.md` is generated from it. */
export const codes = {
  ...commandCodes,
  ...configCodes,
  ...sourceCodes,
  ...captureCodes,
  ...techniqueCodes,
  ...odbcCodes,
  ...httpCodes,
  ...redisCodes,
  ...writeCodes,
  ...transferCodes,
  ...storageCodes,
  ...fileCodes,
  ...engineCodes,
  ...stageCodes,
  ...warehouseCodes,
  ...demoCodes,
  ...serverCodes,
  ...limitCodes,
  ...busCodes,
  ...streamCodes,
  ...adviceCodes,
  ...subscribeCodes,
} as const
