import { PoolerError, SqlState } from '../errors.ts'

/**
 * BodyReader: a cursor over one message body that never reads past its end.
 * Every read throws a PoolerError 08P01 when the body is too short, with the message's name in it.
 */
export class BodyReader {
  readonly #buffer: Buffer
  readonly #end: number
  readonly #messageName: string
  #position: number

  constructor(buffer: Buffer, start: number, end: number, messageName: string) {
    this.#buffer = buffer
    this.#position = start
    this.#end = end
    this.#messageName = messageName
  }

  get remaining(): number {
    return this.#end - this.#position
  }

  byte(): number {
    this.#need(1)
    return this.#buffer[this.#position++] as number
  }

  int16(): number {
    this.#need(2)
    const value = this.#buffer.readInt16BE(this.#position)
    this.#position += 2
    return value
  }

  int32(): number {
    this.#need(4)
    const value = this.#buffer.readInt32BE(this.#position)
    this.#position += 4
    return value
  }

  /** The UTF-8 text up to the next NUL. */
  cstring(): string {
    const nul = this.#buffer.indexOf(0, this.#position)
    if (nul === -1 || nul >= this.#end) this.#malformed('a string has no terminator')
    const text = this.#buffer.toString('utf8', this.#position, nul)
    this.#position = nul + 1
    return text
  }

  /** A view of the next `count` bytes; valid as long as the buffer behind it. */
  bytes(count: number): Buffer {
    this.#need(count)
    const view = this.#buffer.subarray(this.#position, this.#position + count)
    this.#position += count
    return view
  }

  /** Throws unless the whole body has been read. */
  expectEnd(): void {
    if (this.remaining !== 0) this.#malformed(`${this.remaining} bytes are left over`)
  }

  #need(count: number): void {
    if (count < 0 || this.remaining < count) this.#malformed('it ends too early')
  }

  #malformed(what: string): never {
    throw new PoolerError(SqlState.ProtocolViolation, `malformed ${this.#messageName} message: ${what}`)
  }
}
