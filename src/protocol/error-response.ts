import type { PoolerError } from '../errors.ts'
import { BodyWriter } from './body-writer.ts'
import { BackendType } from './message-type.ts'

/**
 * ErrorResponse and NoticeResponse: whole messages built from fields, and fields read from a message body.
 * The pooler sends them to its clients and reads those of PostgreSQL for its log; it owns no state.
 * Source: PostgreSQL documentation, "Error and Notice Message Fields".
 */

/** What a message built here says. Absent texts become absent fields. */
export interface ReportFields {
  /** ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO or LOG; sent as both S and V, never translated. */
  readonly severity: string
  readonly sqlState: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** What a message of a peer says; every field may be missing. */
export interface ErrorFields {
  /** The untranslated severity (V, PostgreSQL 9.6 and later), else the one in the server's language (S). */
  readonly severity: string | undefined
  readonly sqlState: string | undefined
  readonly message: string | undefined
  readonly detail: string | undefined
  readonly hint: string | undefined
  /** The C function of PostgreSQL that reported it. */
  readonly routine: string | undefined
}

const FieldType = {
  Severity: 0x53, // 'S'
  SeverityUntranslated: 0x56, // 'V'
  SqlState: 0x43, // 'C'
  Message: 0x4d, // 'M'
  Detail: 0x44, // 'D'
  Hint: 0x48, // 'H'
  Routine: 0x52, // 'R'
} as const

/** A whole ErrorResponse, type byte and length included. */
export function encodeErrorResponse(fields: ReportFields): Buffer {
  return encodeReport(BackendType.ErrorResponse, fields)
}

/** A whole NoticeResponse, type byte and length included. */
export function encodeNotice(fields: ReportFields): Buffer {
  return encodeReport(BackendType.NoticeResponse, fields)
}

/**
 * The ErrorResponse that a client gets for this error: PostgreSQL's own bytes where it carries them, else its own
 * fields, with another SQLSTATE if one is given (error_codes).
 */
export function encodePoolerError(error: PoolerError, sqlState: string = error.sqlState): Buffer {
  const { severity, message, detail, hint } = error
  return error.response ?? encodeErrorResponse({ severity, sqlState, message, detail, hint })
}

/**
 * The fields in the body `bodyStart..end` of an ErrorResponse or NoticeResponse. Never throws: a body that is
 * empty, cut short or lacks fields gives what it has, for nobody may stumble over a report of an error.
 */
export function readErrorFields(buffer: Buffer, bodyStart: number, end: number): ErrorFields {
  const texts = new Map<number, string>()
  const limit = Math.min(end, buffer.length)
  let position = bodyStart
  while (position < limit) {
    const type = buffer[position] as number
    if (type === 0) break
    const nul = buffer.indexOf(0, position + 1)
    const textEnd = nul === -1 || nul > limit ? limit : nul
    if (!texts.has(type)) texts.set(type, buffer.toString('utf8', position + 1, textEnd))
    position = textEnd + 1
  }
  return {
    severity: texts.get(FieldType.SeverityUntranslated) ?? texts.get(FieldType.Severity),
    sqlState: texts.get(FieldType.SqlState),
    message: texts.get(FieldType.Message),
    detail: texts.get(FieldType.Detail),
    hint: texts.get(FieldType.Hint),
    routine: texts.get(FieldType.Routine),
  }
}

function encodeReport(type: number, fields: ReportFields): Buffer {
  const writer = new BodyWriter().begin(type)
  writeField(writer, FieldType.Severity, fields.severity)
  writeField(writer, FieldType.SeverityUntranslated, fields.severity)
  writeField(writer, FieldType.SqlState, fields.sqlState)
  writeField(writer, FieldType.Message, fields.message)
  if (fields.detail !== undefined) writeField(writer, FieldType.Detail, fields.detail)
  if (fields.hint !== undefined) writeField(writer, FieldType.Hint, fields.hint)
  return writer.byte(0).end().take()
}

function writeField(writer: BodyWriter, type: number, text: string): void {
  // Texts may quote what a peer or a file said; a NUL in one would end the field and garble the rest.
  writer.byte(type).cstring(text.replaceAll('\0', '\ufffd'))
}
