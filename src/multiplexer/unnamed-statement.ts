import type { ClientStatement } from '../prepared/client-statements.ts'

/** A text longer than this keeps its buffer only until the next unnamed Parse. */
const KEPT_BYTES = 4096

/**
 * UnnamedStatement: a client's last unnamed Parse, kept because a Bind or Describe in a later batch may meet
 * another server. Owned by the client's session; its buffer is reused from Parse to Parse.
 */
export class UnnamedStatement {
  #buffer: Buffer | null = null
  #length = 0
  /** Length of a statement that a simple query has destroyed, if the server gets to that query. */
  #dropped = 0
  /** Raised by every Parse: what is undone later must not undo a newer one. */
  version = 0
  /** DEALLOCATE of this name: carried out when the statement has been executed. */
  deallocates: ClientStatement | null = null
  /** DEALLOCATE or DISCARD of anything. */
  discards = false

  get exists(): boolean {
    return this.#length > 0
  }

  /** The whole Parse message; empty if there is none. */
  get parse(): Buffer {
    return this.#buffer === null ? EMPTY : this.#buffer.subarray(0, this.#length)
  }

  set(buffer: Buffer, start: number, end: number): void {
    const bytes = end - start
    if (this.#buffer === null || this.#buffer.length < bytes || this.#buffer.length > KEPT_BYTES) {
      this.#buffer = Buffer.allocUnsafeSlow(bytes)
    }
    buffer.copy(this.#buffer, 0, start, end)
    this.#length = bytes
    this.#dropped = 0
    this.version += 1
    this.deallocates = null
    this.discards = false
  }

  /** A simple query was sent: it destroys the statement. */
  drop(): void {
    if (this.#length === 0) return
    this.#dropped = this.#length
    this.#length = 0
  }

  /** The server skipped that query. */
  restore(): void {
    if (this.#length > 0) return
    this.#length = this.#dropped
    this.#dropped = 0
  }

  clear(): void {
    this.#length = 0
    this.#dropped = 0
    this.deallocates = null
    this.discards = false
  }
}

const EMPTY = Buffer.alloc(0)
