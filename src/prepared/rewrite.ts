import { FrontendType, HEADER_BYTES } from '../protocol/message-type.ts'
import type { Statement } from './statement.ts'

/**
 * NameRewriter: puts the server's name of a statement in place of the client's in the head of a Bind or
 * Describe. One per process; it owns the buffer in which heads are built.
 */
export class NameRewriter {
  #scratch = Buffer.allocUnsafeSlow(8192)

  /**
   * The head `[start, end)` with `name` at `[nameStart, nameEnd)`; the length word counts the whole message
   * of `total` bytes. The result is valid until the next call.
   */
  rename(
    name: Buffer,
    total: number,
    buffer: Buffer,
    start: number,
    nameStart: number,
    nameEnd: number,
    end: number,
  ): Buffer {
    const before = nameStart - start
    const bytes = before + name.length + end - nameEnd
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(2 * bytes)
    const scratch = this.#scratch
    buffer.copy(scratch, 0, start, nameStart)
    name.copy(scratch, before)
    buffer.copy(scratch, before + name.length, nameEnd, end)
    scratch.writeInt32BE(total - 1 + name.length - (nameEnd - nameStart), 1)
    return scratch.subarray(0, bytes)
  }
}

/** A client's Parse under the server's name; `nameEnd` is where the client's name ends. */
export function renameParse(statement: Statement, buffer: Buffer, nameEnd: number, end: number): Buffer {
  const name = statement.nameBytes
  const message = Buffer.allocUnsafe(HEADER_BYTES + name.length + end - nameEnd)
  message[0] = FrontendType.Parse
  message.writeInt32BE(message.length - 1, 1)
  name.copy(message, HEADER_BYTES)
  buffer.copy(message, HEADER_BYTES + name.length, nameEnd, end)
  return message
}
