/** Longer batches are not repeated. */
const MAX_BATCH_BYTES = 16 * 1024

/**
 * BatchRecorder: the messages of one extended-protocol batch as the client sent them, so that it can be
 * repeated when the server turns out to need a statement prepared anew. It records only batches that begin
 * outside a transaction with a named statement, and only while nothing of the reply has gone to the client.
 */
export class BatchRecorder {
  #buffer: Buffer | null = null
  #length = 0
  #recording = false
  /** The batch has its Sync. */
  complete = false
  /** Something of the reply has gone to the client: it is too late to repeat the batch. */
  replied = false
  /** So many ParseComplete of unnamed statements have gone to the client, and nothing else: a repeated batch leaves them out. */
  parsesAnswered = 0
  /** An unnamed statement is carried out by a prepared one (prepare_unnamed), whose plan may be outdated. */
  atRisk = false
  /** The client will be told the columns anew, so they may differ from what it knows. */
  describes = false
  /** The client was told the columns of a statement in this batch before. */
  columnsKnown = false

  get recording(): boolean {
    return this.#recording
  }

  start(): void {
    this.#recording = true
    this.#length = 0
    this.complete = false
    this.replied = false
    this.parsesAnswered = 0
    this.atRisk = false
    this.describes = false
    this.columnsKnown = false
  }

  /** True if the batch can be repeated without anybody noticing. */
  get repeatable(): boolean {
    return this.#recording && this.complete && !this.replied
  }

  /** True while the client must not send what could not be repeated. */
  get guards(): boolean {
    return this.atRisk && this.#recording && !this.replied
  }

  /** There is room for a message of so many bytes. */
  fits(bytes: number): boolean {
    return this.#length + bytes <= MAX_BATCH_BYTES
  }

  /** Adds a message; a batch that grows too long is not recorded after all. */
  add(buffer: Buffer, start: number, end: number): void {
    const bytes = end - start
    if (this.#length + bytes > MAX_BATCH_BYTES) {
      this.stop()
      return
    }
    if (this.#buffer === null || this.#buffer.length < this.#length + bytes) {
      const grown = Buffer.allocUnsafeSlow(Math.max(256, 2 * (this.#length + bytes)))
      this.#buffer?.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    for (let i = start, to = this.#length; i < end; i++, to++) this.#buffer[to] = buffer[i] as number
    this.#length += bytes
  }

  stop(): void {
    this.#recording = false
    this.complete = false
  }

  /** A copy of what was recorded. */
  take(): Buffer {
    const batch = Buffer.from(this.#buffer?.subarray(0, this.#length) ?? [])
    this.stop()
    return batch
  }
}
