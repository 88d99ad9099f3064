import { BackendType } from '../../src/protocol/message-type.ts'
import type { Value } from './frontend-messages.ts'
import { message } from './frontend-messages.ts'

/**
 * Builders of the messages that PostgreSQL sends, for ScriptedServer and its tests.
 * Source: PostgreSQL documentation, "Message Formats" (B).
 */

const TEXT_TYPE = 25

export const authenticationOk = (): Buffer => message(BackendType.Authentication, (body) => body.int32(0))

export const parameterStatus = (name: string, value: string): Buffer =>
  message(BackendType.ParameterStatus, (body) => body.cstring(name).cstring(value))

export const backendKeyData = (processId: number, secret: Buffer): Buffer =>
  message(BackendType.BackendKeyData, (body) => body.int32(processId).bytes(secret))

export const readyForQuery = (status: 'I' | 'T' | 'E' = 'I'): Buffer =>
  message(BackendType.ReadyForQuery, (body) => body.byte(status.charCodeAt(0)))

export const commandComplete = (tag: string): Buffer =>
  message(BackendType.CommandComplete, (body) => body.cstring(tag))

/** RowDescription of text columns. */
export function rowDescription(...names: readonly string[]): Buffer {
  return message(BackendType.RowDescription, (body) => {
    body.int16(names.length)
    for (const name of names) {
      body.cstring(name).int32(0).int16(0).int32(TEXT_TYPE).int16(-1).int32(-1).int16(0)
    }
  })
}

export function dataRow(...values: readonly Value[]): Buffer {
  return message(BackendType.DataRow, (body) => {
    body.int16(values.length)
    for (const value of values) {
      const bytes = value === null ? null : Buffer.from(value)
      body.int32(bytes === null ? -1 : bytes.length)
      if (bytes !== null) body.bytes(bytes)
    }
  })
}

/** ErrorResponse ('E') or NoticeResponse ('N') with exactly these fields, by their letters. */
export function fieldsMessage(type: number, fields: Readonly<Record<string, string>>): Buffer {
  return message(type, (body) => {
    for (const [letter, text] of Object.entries(fields)) body.byte(letter.charCodeAt(0)).cstring(text)
    body.byte(0)
  })
}

export const errorResponse = (code: string, text: string, severity = 'ERROR'): Buffer =>
  fieldsMessage(BackendType.ErrorResponse, { S: severity, V: severity, C: code, M: text })

export const noticeResponse = (text: string): Buffer =>
  fieldsMessage(BackendType.NoticeResponse, { S: 'NOTICE', V: 'NOTICE', C: '00000', M: text })

export const notificationResponse = (processId: number, channel: string, payload: string): Buffer =>
  message(BackendType.NotificationResponse, (body) => body.int32(processId).cstring(channel).cstring(payload))

export const parseComplete = (): Buffer => message(BackendType.ParseComplete)
export const bindComplete = (): Buffer => message(BackendType.BindComplete)

/** The whole reply to a simple query with one row of one text column. */
export function oneRow(value: string): Buffer {
  return Buffer.concat([
    rowDescription('value'),
    dataRow(value),
    commandComplete('SELECT 1'),
    readyForQuery(),
  ])
}
