import { BodyWriter } from './body-writer.ts'
import { FrontendType, HEADER_BYTES } from './message-type.ts'

/**
 * The parts of Parse, Bind, Describe and Close that name a statement, found and replaced.
 * Source: PostgreSQL documentation, "Message Formats".
 *
 *   Parse     P len | statement \0 query \0 int16 int32*
 *   Bind      B len | portal \0 statement \0 ...
 *   Describe  D len | 'S' or 'P', name \0        Close likewise
 */

/** In Describe and Close: the name is a statement's. */
export const STATEMENT = 0x53 // 'S'

export const SYNC = Buffer.from([FrontendType.Sync, 0, 0, 0, 4])
/** What a client says last. */
export const TERMINATE = Buffer.from([FrontendType.Terminate, 0, 0, 0, 4])
export const FLUSH = Buffer.from([FrontendType.Flush, 0, 0, 0, 4])

/** Where the NUL of the string at `start` is; -1 if it is not before `end`. */
export function endOfName(buffer: Buffer, start: number, end: number): number {
  for (let i = start; i < end; i++) if (buffer[i] === 0) return i
  return -1
}

/** A Parse message for `name`; `text` is everything behind the name: the query with its NUL, the types. */
export function encodeParse(name: string, text: Buffer): Buffer {
  return new BodyWriter(HEADER_BYTES + name.length + 1 + text.length)
    .begin(FrontendType.Parse)
    .cstring(name)
    .bytes(text)
    .end()
    .take()
}

export function encodeCloseStatement(name: string): Buffer {
  return new BodyWriter().begin(FrontendType.Close).byte(STATEMENT).cstring(name).end().take()
}

export function encodeDescribeStatement(name: string): Buffer {
  return new BodyWriter().begin(FrontendType.Describe).byte(STATEMENT).cstring(name).end().take()
}

export function encodeQuery(sql: string): Buffer {
  return new BodyWriter().begin(FrontendType.Query).cstring(sql).end().take()
}
