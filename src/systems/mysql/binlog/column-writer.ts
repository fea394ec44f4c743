import { fixedWidth } from '../../../core/batch.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import { layOver, newBlock } from '../../wire/block.ts'
import { fixedWriter, type ColumnWriter, type Decoder, type WriterRoom } from '../../wire/column-writer.ts'
import { decimalWriter } from '../../wire/decimal-writer.ts'
import type { Validity } from '../../wire/validity.ts'
import { bytesWriter } from '../bytes-writer.ts'
import type { ZeroDates } from '../column-writer.ts'
import { fixedDecoder } from '../fixed-decoders.ts'
import { ProtocolError, WIRE } from '../protocol.ts'
import { unscaledReader } from './decimal.ts'
import { LOGGED, type LoggedColumn } from './table-map.ts'
import { datePut, datetimePut, loggedLoop, timePut, timestampPut } from './temporal.ts'
import { putUuid, type Translate } from './translate.ts'

/** A column of the log and what becomes of its values. */
export interface LoggedSource {
  readonly column: LoggedColumn
  readonly type: ColumnType
  readonly unsigned: boolean
  /** Values of varying length that do not lie in the row as they are wanted. */
  readonly translate: Translate | null
  readonly zeroDates: ZeroDates
}

/** The writer of a column as it lies in the log. Throws when its type does not go with the column's. */
export function loggedWriter(source: LoggedSource, room: WriterRoom): ColumnWriter {
  const { type, column, translate, unsigned, zeroDates } = source
  const width = fixedWidth(type)
  const wire = { type: column.type, unsigned }
  if (width === null) {
    const writer = bytesWriter({ type, wire, zeroDates, ...room })
    return translate === null ? writer : translated(writer, translate)
  }
  return fixedWriter(width, room, (buffer, validity) => {
    const decoder =
      decoderOf(source, buffer, validity) ?? fixedDecoder({ type, wire, zeroDates, ...room }, buffer, validity)
    if (decoder === null) throw new ProtocolError(`the log has type ${column.type} for ${typeText(type)}`)
    return decoder
  })
}

/** The decoders of what lies in the log in another way than in the answer to a query; `null` for the rest. */
function decoderOf(
  { column, type, unsigned, zeroDates }: LoggedSource,
  out: ArrayBuffer,
  validity: Validity,
): Decoder | null {
  const { type: logged, size, scale } = column
  const zeroIsNull = zeroDates === 'null'
  switch (logged) {
    case WIRE.int24:
      return type.kind === 'int' && type.bits === 32 ? mediums(new Int32Array(out), validity, unsigned) : null
    case WIRE.year:
      return type.kind === 'int' && type.bits === 16 ? years(new Int16Array(out), validity) : null
    case WIRE.newDecimal: {
      if (type.kind !== 'decimal' || type.precision !== size || type.scale !== scale) return null
      const read = unscaledReader(size, scale)
      const put = decimalWriter(size, new DataView(out))
      return loggedLoop(validity, ({ bytes }, at, _, row) => {
        put(row, read(bytes, at))
        return true
      })
    }
    case WIRE.date:
    case LOGGED.newDate:
      return type.kind === 'date' ? loggedLoop(validity, datePut(new Int32Array(out)), zeroIsNull) : null
    case LOGGED.datetime2:
      return type.kind === 'timestamp' ? loggedLoop(validity, datetimePut(new Int32Array(out), size), zeroIsNull) : null
    case LOGGED.timestamp2:
      return type.kind === 'timestamp'
        ? loggedLoop(validity, timestampPut(new Int32Array(out), size), zeroIsNull)
        : null
    case LOGGED.time2:
      return type.kind === 'time' ? loggedLoop(validity, timePut(new Int32Array(out), size)) : null
    case LOGGED.string:
      return type.kind === 'uuid' ? uuids(new Uint8Array(out), validity) : null
    default:
      return null
  }
}

function mediums(out: Int32Array, validity: Validity, unsigned: boolean): Decoder {
  return loggedLoop(validity, ({ bytes }, at, _, row) => {
    out[row] = unsigned ? bytes.readUIntLE(at, 3) : bytes.readIntLE(at, 3)
    return true
  })
}

const YEAR_ZERO = 1900

function years(out: Int16Array, validity: Validity): Decoder {
  return loggedLoop(validity, ({ bytes }, at, _, row) => {
    const value = bytes[at] as number
    out[row] = value === 0 ? 0 : YEAR_ZERO + value
    return true
  })
}

function uuids(out: Uint8Array, validity: Validity): Decoder {
  return loggedLoop(validity, ({ bytes }, at, length, row) => {
    putUuid(bytes, at, length, out, row)
    return true
  })
}

/** A writer that is only ever given NULL. */
export function nullWriter(type: ColumnType, room: WriterRoom): ColumnWriter {
  const width = fixedWidth(type)
  if (width === null)
    return bytesWriter({ type, wire: { type: WIRE.null, unsigned: false }, zeroDates: 'reject', ...room })
  return fixedWriter(width, room, (_, validity) => loggedLoop(validity, () => false))
}

/** Puts values into `writer` after they were translated, a block of them at a time. */
function translated(writer: ColumnWriter, translate: Translate): ColumnWriter {
  const own = newBlock(1)
  const append: Decoder = (block, index, { from, to, at }, bad) => {
    const texts: Buffer[] = []
    let end = 0
    for (let r = from; r < to; r++) {
      const cell = r * block.columns + index
      const length = block.lengths[cell] as number
      const text = length < 0 ? null : translate(block.bytes, block.positions[cell] as number, length)
      if (length >= 0 && text === null) bad(r)
      own.positions[r - from] = end
      own.lengths[r - from] = text === null ? -1 : text.length
      if (text === null) continue
      texts.push(text)
      end += text.length
    }
    layOver(own, Buffer.concat(texts, end))
    writer.append(own, 0, { from: 0, to: to - from, at }, row => bad(from + row))
  }
  return {
    append,
    cut: at => writer.cut(at),
    get bytes() {
      return writer.bytes
    },
    finish: rows => writer.finish(rows),
  }
}
