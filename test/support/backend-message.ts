import { BodyReader } from '../../src/protocol/body-reader.ts'
import type { WireMessage } from './message-stream.ts'

/**
 * BackendMessage: one message from a server, decoded as far as tests look into it. The letter of its type byte
 * is its name here, because sequences of replies are written as words of letters: '12TDCZ'.
 * Source: PostgreSQL documentation, "Message Formats" (B).
 */

export interface Column {
  name: string
  table: number
  attribute: number
  type: number
  size: number
  modifier: number
  format: number
}

/** Fields by their letters (S severity, C SQLSTATE, M message, ...), and the two that tests ask for most. */
interface Fields {
  fields: Readonly<Record<string, string>>
  code: string
  text: string
}

interface CopyStart {
  format: number
  columns: number[]
}

interface Decoded {
  A: { processId: number; channel: string; payload: string }
  C: { tag: string }
  D: { values: (Buffer | null)[] }
  E: Fields
  G: CopyStart
  H: CopyStart
  K: { processId: number; secret: Buffer }
  N: Fields
  R: { method: number; rest: Buffer }
  S: { name: string; value: string }
  T: { columns: Column[] }
  V: { value: Buffer | null }
  W: CopyStart
  Z: { status: string }
  t: { types: number[] }
  v: { minor: number; unknown: string[] }
}

export type BackendMessage<Type extends string = string> = {
  type: Type
  body: Buffer
} & (Type extends keyof Decoded ? Decoded[Type] : unknown)

function times<Item>(count: number, read: () => Item): Item[] {
  return Array.from({ length: count }, read)
}

function value(reader: BodyReader): Buffer | null {
  const length = reader.int32()
  return length === -1 ? null : reader.bytes(length)
}

function fieldsOf(reader: BodyReader): Fields {
  const fields: Record<string, string> = {}
  for (let letter = reader.byte(); letter !== 0; letter = reader.byte()) {
    fields[String.fromCharCode(letter)] = reader.cstring()
  }
  return { fields, code: fields.C ?? '', text: fields.M ?? '' }
}

function column(reader: BodyReader): Column {
  return {
    name: reader.cstring(),
    table: reader.int32(),
    attribute: reader.int16(),
    type: reader.int32(),
    size: reader.int16(),
    modifier: reader.int32(),
    format: reader.int16(),
  }
}

function copyStart(reader: BodyReader): CopyStart {
  return { format: reader.byte(), columns: times(reader.int16(), () => reader.int16()) }
}

const DECODERS: { [Type in keyof Decoded]: (reader: BodyReader) => Decoded[Type] } = {
  A: (reader) => ({ processId: reader.int32(), channel: reader.cstring(), payload: reader.cstring() }),
  C: (reader) => ({ tag: reader.cstring() }),
  D: (reader) => ({ values: times(reader.int16(), () => value(reader)) }),
  E: fieldsOf,
  G: copyStart,
  H: copyStart,
  K: (reader) => ({ processId: reader.int32(), secret: reader.bytes(reader.remaining) }),
  N: fieldsOf,
  R: (reader) => ({ method: reader.int32(), rest: reader.bytes(reader.remaining) }),
  S: (reader) => ({ name: reader.cstring(), value: reader.cstring() }),
  T: (reader) => ({ columns: times(reader.int16(), () => column(reader)) }),
  V: (reader) => ({ value: value(reader) }),
  W: copyStart,
  Z: (reader) => ({ status: String.fromCharCode(reader.byte()) }),
  t: (reader) => ({ types: times(reader.int16(), () => reader.int32()) }),
  v: (reader) => ({ minor: reader.int32() & 0xffff, unknown: times(reader.int32(), () => reader.cstring()) }),
}

function isDecodable(type: string): type is keyof Decoded {
  return Object.hasOwn(DECODERS, type)
}

/** Decodes one message; throws a PoolerError 08P01 when its body is not what its type promises. */
export function decodeBackendMessage({ type, body }: WireMessage): BackendMessage {
  if (!isDecodable(type)) return { type, body }
  const reader = new BodyReader(body, 0, body.length, `'${type}'`)
  return { type, body, ...DECODERS[type](reader) }
}

export function isMessage<Type extends string>(
  message: BackendMessage | undefined,
  type: Type,
): message is BackendMessage<Type> {
  return message?.type === type
}

/** The messages of one type, decoded. */
export function ofType<Type extends string>(
  messages: readonly BackendMessage[],
  type: Type,
): BackendMessage<Type>[] {
  return messages.filter((message): message is BackendMessage<Type> => isMessage(message, type))
}

/** The letters of a reply: '12TDCZ'. */
export function letters(messages: readonly BackendMessage[]): string {
  return messages.map((message) => message.type).join('')
}

/** The rows of a reply as text. */
export function rows(messages: readonly BackendMessage[]): (string | null)[][] {
  return ofType(messages, 'D').map((row) => row.values.map((cell) => cell?.toString() ?? null))
}

/** One message in short, for the errors of tests. */
export function summary(message: BackendMessage): string {
  if (isMessage(message, 'E') || isMessage(message, 'N'))
    return `${message.type}(${message.code} ${message.text})`
  if (isMessage(message, 'C')) return `C(${message.tag})`
  if (isMessage(message, 'Z')) return `Z(${message.status})`
  if (isMessage(message, 'S')) return `S(${message.name}=${message.value})`
  return message.type
}
