import { HEADER_BYTES } from './message-type.ts'

/**
 * BodyWriter: builds messages into one growing buffer. `begin(type)`, fields, `end()`, any number of times;
 * `take()` hands the bytes over and leaves the writer empty. For messages that the pooler makes itself;
 * bytes that a peer sent are never rebuilt through it.
 */
export class BodyWriter {
  #buffer: Buffer
  #length = 0
  #start = -1

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  /** Starts a message with a type byte. */
  begin(type: number): this {
    this.#reserve(HEADER_BYTES)
    this.#buffer[this.#length] = type
    this.#start = this.#length + 1
    this.#length += HEADER_BYTES
    return this
  }

  /** Starts a message of the startup phase, which has a length but no type byte. */
  beginUntyped(): this {
    this.#reserve(4)
    this.#start = this.#length
    this.#length += 4
    return this
  }

  /** Writes the length word of the message begun last. */
  end(): this {
    this.#buffer.writeInt32BE(this.#length - this.#start, this.#start)
    this.#start = -1
    return this
  }

  byte(value: number): this {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
    return this
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#length = this.#buffer.writeInt16BE(value, this.#length)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#length = this.#buffer.writeInt32BE(value, this.#length)
    return this
  }

  /** A NUL-terminated string; `text` must not contain NUL. */
  cstring(text: string): this {
    return this.string(text).byte(0)
  }

  /** UTF-8 bytes without terminator. */
  string(text: string): this {
    const bytes = Buffer.byteLength(text)
    this.#reserve(bytes)
    this.#length += this.#buffer.write(text, this.#length)
    return this
  }

  bytes(source: Uint8Array): this {
    this.#reserve(source.length)
    this.#buffer.set(source, this.#length)
    this.#length += source.length
    return this
  }

  /** The bytes written so far; the writer starts again with a new buffer, so the caller may keep them. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#length)
    this.#buffer = Buffer.allocUnsafe(256)
    this.#length = 0
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
