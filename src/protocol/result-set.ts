import { BodyWriter } from './body-writer.ts'
import { BackendType } from './message-type.ts'

/**
 * The messages of a result that the pooler makes itself: the admin console's. Values go out as text.
 * Source: PostgreSQL documentation, "Message Formats": RowDescription, DataRow, CommandComplete.
 */

/** Type OIDs of pg_type, and the size that RowDescription tells; -1 = varying. */
export const ColumnType = {
  bytea: { oid: 17, size: -1 },
  int8: { oid: 20, size: 8 },
  int4: { oid: 23, size: 4 },
  text: { oid: 25, size: -1 },
  numeric: { oid: 1700, size: -1 },
} as const
export type ColumnType = (typeof ColumnType)[keyof typeof ColumnType]

export interface Column {
  readonly name: string
  readonly type: ColumnType
}

export type Value = string | number | bigint | null

export const BIND_COMPLETE = Buffer.from([BackendType.BindComplete, 0, 0, 0, 4])
export const NO_DATA = Buffer.from([BackendType.NoData, 0, 0, 0, 4])
export const EMPTY_QUERY_RESPONSE = Buffer.from([BackendType.EmptyQueryResponse, 0, 0, 0, 4])
export const NO_PARAMETERS = Buffer.from([BackendType.ParameterDescription, 0, 0, 0, 6, 0, 0])

export function encodeRowDescription(columns: readonly Column[]): Buffer {
  const writer = new BodyWriter(1024).begin(BackendType.RowDescription).int16(columns.length)
  for (const { name, type } of columns) {
    // No table, no attribute number; no type modifier; format text.
    writer.cstring(name).int32(0).int16(0).int32(type.oid).int16(type.size).int32(-1).int16(0)
  }
  return writer.end().take()
}

export function encodeDataRow(values: readonly Value[]): Buffer {
  const writer = new BodyWriter().begin(BackendType.DataRow).int16(values.length)
  for (const value of values) {
    if (value === null) {
      writer.int32(-1)
      continue
    }
    const text = String(value)
    writer.int32(Buffer.byteLength(text)).string(text)
  }
  return writer.end().take()
}

export function encodeCommandComplete(tag: string): Buffer {
  return new BodyWriter().begin(BackendType.CommandComplete).cstring(tag).end().take()
}
