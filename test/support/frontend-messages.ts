import { BodyWriter } from '../../src/protocol/body-writer.ts'
import { FrontendType } from '../../src/protocol/message-type.ts'

/**
 * Builders of every message that an application may send, one function each, as whole wire messages.
 * Source: PostgreSQL documentation, "Message Formats" (F). Used by RawClient and by the tests.
 */

export const PROTOCOL_3_0 = 196_608
export const PROTOCOL_3_2 = 196_610
const CANCEL_REQUEST = 80_877_102
const SSL_REQUEST = 80_877_103
const GSSENC_REQUEST = 80_877_104

export type Value = string | Buffer | null

export function message(type: number, fill: (body: BodyWriter) => void = () => {}): Buffer {
  const writer = new BodyWriter().begin(type)
  fill(writer)
  return writer.end().take()
}

function untyped(fill: (body: BodyWriter) => void): Buffer {
  const writer = new BodyWriter().beginUntyped()
  fill(writer)
  return writer.end().take()
}

/** StartupMessage; `parameters` in order, and whatever they hold is sent as it is. */
export function startup(parameters: Readonly<Record<string, string>>, protocol = PROTOCOL_3_0): Buffer {
  return untyped((body) => {
    body.int32(protocol)
    for (const [name, value] of Object.entries(parameters)) body.cstring(name).cstring(value)
    body.byte(0)
  })
}

export const sslRequest = (): Buffer => untyped((body) => body.int32(SSL_REQUEST))
export const gssencRequest = (): Buffer => untyped((body) => body.int32(GSSENC_REQUEST))

export function cancelRequest(key: { processId: number; secret: Buffer }): Buffer {
  return untyped((body) => body.int32(CANCEL_REQUEST).int32(key.processId).bytes(key.secret))
}

/** PasswordMessage, SASLInitialResponse and SASLResponse share their type byte. */
export const password = (text: string): Buffer => message(FrontendType.Password, (body) => body.cstring(text))
export const saslResponse = (text: string): Buffer =>
  message(FrontendType.Password, (body) => body.string(text))

export function saslInitialResponse(mechanism: string, text: string): Buffer {
  return message(FrontendType.Password, (body) =>
    body.cstring(mechanism).int32(Buffer.byteLength(text)).string(text),
  )
}

export const query = (sql: string): Buffer => message(FrontendType.Query, (body) => body.cstring(sql))

/** Parse; `name` '' is the unnamed statement, `types` are type OIDs (0 leaves one to PostgreSQL). */
export function parse(name: string, sql: string, types: readonly number[] = []): Buffer {
  return message(FrontendType.Parse, (body) => {
    body.cstring(name).cstring(sql).int16(types.length)
    for (const type of types) body.int32(type)
  })
}

export interface BindOptions {
  portal?: string
  values?: readonly Value[]
  /** Format codes of the parameters as sent: none, one for all, or one each. */
  formats?: readonly number[]
  resultFormats?: readonly number[]
}

/** Bind of statement `name` to a portal, the unnamed one unless named. */
export function bind(name = '', options: BindOptions = {}): Buffer {
  const { portal = '', values = [], formats = [], resultFormats = [] } = options
  return message(FrontendType.Bind, (body) => {
    body.cstring(portal).cstring(name).int16(formats.length)
    for (const format of formats) body.int16(format)
    body.int16(values.length)
    for (const value of values) {
      if (value === null) {
        body.int32(-1)
        continue
      }
      const bytes = Buffer.from(value)
      body.int32(bytes.length).bytes(bytes)
    }
    body.int16(resultFormats.length)
    for (const format of resultFormats) body.int16(format)
  })
}

export type Target = 'S' | 'P'

function ofTarget(type: number, target: Target, name: string): Buffer {
  return message(type, (body) => body.byte(target.charCodeAt(0)).cstring(name))
}

/** Describe of a statement ('S') or a portal ('P'). */
export const describeMessage = (target: Target, name = ''): Buffer =>
  ofTarget(FrontendType.Describe, target, name)

/** Close of a statement ('S') or a portal ('P'). */
export const close = (target: Target, name = ''): Buffer => ofTarget(FrontendType.Close, target, name)

/** Execute; `maxRows` 0 means all. */
export const execute = (portal = '', maxRows = 0): Buffer =>
  message(FrontendType.Execute, (body) => body.cstring(portal).int32(maxRows))

export const sync = (): Buffer => message(FrontendType.Sync)
export const flush = (): Buffer => message(FrontendType.Flush)
export const terminate = (): Buffer => message(FrontendType.Terminate)

export const copyData = (data: string | Buffer): Buffer =>
  message(FrontendType.CopyData, (body) => body.bytes(Buffer.from(data)))
export const copyDone = (): Buffer => message(FrontendType.CopyDone)
export const copyFail = (reason: string): Buffer =>
  message(FrontendType.CopyFail, (body) => body.cstring(reason))

/** FunctionCall with binary arguments and a binary result. */
export function functionCall(functionOid: number, values: readonly (Buffer | null)[]): Buffer {
  return message(FrontendType.FunctionCall, (body) => {
    body.int32(functionOid).int16(1).int16(1).int16(values.length)
    for (const value of values) {
      if (value === null) body.int32(-1)
      else body.int32(value.length).bytes(value)
    }
    body.int16(1)
  })
}

/** Parse, Bind, Describe, Execute of an unnamed statement: what a driver sends for one query, without Sync. */
export function extended(sql: string, values: readonly Value[] = []): Buffer {
  return Buffer.concat([parse('', sql), bind('', { values }), describeMessage('P'), execute()])
}

/** Bind and Execute of a prepared statement through the unnamed portal, without Sync. */
export const run = (name: string, values: readonly Value[] = []): Buffer =>
  Buffer.concat([bind(name, { values }), execute()])

/** A four-byte integer in binary format. */
export function int4(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
