import { PoolerError, SqlState } from '../errors.ts'
import { BodyReader } from './body-reader.ts'
import { BodyWriter } from './body-writer.ts'
import { SYNC } from './extended-query.ts'
import { BackendType, FrontendType } from './message-type.ts'

/**
 * A query of the pooler's own with one parameter, and the rows that come back: for connections that no client
 * uses. What is forwarded never passes here. Stateless.
 * Source: PostgreSQL documentation, "Message Flow", extended query, and "Message Formats".
 */

/** pg_type.oid of text. */
const TEXT_OID = 25
const PORTAL = 0x50 // 'P'
/** Behind a column's name: table, attribute, type, its length and modifier, format. */
const COLUMN_TYPE_BYTES = 18

/**
 * Parse, Bind, Describe, Execute and Sync for `sql` with $1 = `text` of type text, all formats text, in the
 * unnamed statement and portal. No more than `maxRows` rows come back; neither text may contain NUL.
 */
export function encodeParameterisedQuery(sql: string, text: string, maxRows: number): Buffer {
  return new BodyWriter()
    .begin(FrontendType.Parse)
    .cstring('')
    .cstring(sql)
    .int16(1)
    .int32(TEXT_OID)
    .end()
    .begin(FrontendType.Bind)
    .cstring('')
    .cstring('')
    .int16(0)
    .int16(1)
    .int32(Buffer.byteLength(text))
    .string(text)
    .int16(0)
    .end()
    .begin(FrontendType.Describe)
    .byte(PORTAL)
    .cstring('')
    .end()
    .begin(FrontendType.Execute)
    .cstring('')
    .int32(maxRows)
    .end()
    .bytes(SYNC)
    .take()
}

/** How many columns the RowDescription with the body `bodyStart..end` announces; throws PoolerError 08P01. */
export function readColumnCount(buffer: Buffer, bodyStart: number, end: number): number {
  return new BodyReader(buffer, bodyStart, end, 'RowDescription').int16()
}

/** The values in whole DataRow messages, type bytes included; throws PoolerError 08P01 for anything else. */
export function readDataRows(messages: Buffer): (string | null)[][] {
  const reader = new BodyReader(messages, 0, messages.length, 'DataRow')
  const rows: (string | null)[][] = []
  while (reader.remaining > 0) {
    if (reader.byte() !== BackendType.DataRow) {
      throw new PoolerError(SqlState.ProtocolViolation, 'the server sent data that is no row')
    }
    reader.int32()
    const row: (string | null)[] = []
    for (let columns = reader.int16(); columns > 0; columns--) {
      const bytes = reader.int32()
      row.push(bytes === -1 ? null : reader.bytes(bytes).toString())
    }
    rows.push(row)
  }
  return rows
}

/** The names of the columns that the RowDescription with the body `bodyStart..end` announces; throws PoolerError 08P01. */
export function readColumnNames(buffer: Buffer, bodyStart: number, end: number): string[] {
  const reader = new BodyReader(buffer, bodyStart, end, 'RowDescription')
  const names: string[] = []
  for (let columns = reader.int16(); columns > 0; columns--) {
    names.push(reader.cstring())
    reader.bytes(COLUMN_TYPE_BYTES)
  }
  return names
}
