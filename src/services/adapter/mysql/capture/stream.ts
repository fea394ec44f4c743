import type { Env } from '../../../../core/env.ts'
import { fail, isNaruError } from '../../../../core/errors.ts'
import { changeOp, type ChangeSlice } from '../../../../core/change-slice.ts'
import {
  EVENT,
  formatOf,
  gtidOf,
  logEvent,
  queryOf,
  rotateOf,
  type Checksum,
  type Gtid,
  type LogEvent,
} from '../../../../systems/mysql/binlog/events.ts'
import { EventTooLarge, type LogMessage } from '../../../../systems/mysql/binlog/event-reader.ts'
import { isRows } from '../../../../systems/mysql/binlog/rows.ts'
import { tableIdOf, tableMapOf, TABLE_ID_BYTES } from '../../../../systems/mysql/binlog/table-map.ts'
import { HEADER_BYTES } from '../../../../systems/mysql/binlog/events.ts'
import type { CaptureLag, CaptureRequest, ChangeStream, SchemaChange } from '../../contract-capture.ts'
import type { Target } from '../target.ts'
import type { Charsets } from './charsets.ts'
import { mayName, statementOf } from './ddl.ts'
import type { Dump } from './dump.ts'
import { logError, lost } from './errors.ts'
import { planOf, ShapeUnknown, type KnownTable, type TablePlan } from './plan.ts'
import {
  comparePlaces,
  gtidsByDomain,
  gtidText,
  positionText,
  transactionId,
  type LogPosition,
} from './position.ts'
import { RowDecoder } from './row-decoder.ts'
import { BadValue, SliceBuilder } from './slice-builder.ts'
