import type { PoolerError } from '../errors.ts'
import { invalidMessage } from './invalid-message.ts'
import { messageBytes } from './message-bytes.ts'
import type { ReadCounts } from './message-counts.ts'
import { HEADER_BYTES } from './message-type.ts'

/**
 * Framer: chunks of bytes in, messages out, whatever way the bytes were split. One per connection and
 * direction; `net/wire.ts` feeds it, the connection's handler decides about each message.
 *
 *   chunk   [D....][D....][C....][Z.]        uninteresting messages cost a table lookup and no call;
 *            \___ one run ________/           neighbours that are forwarded stay one contiguous slice
 *
 * It copies only what a chunk ends in the middle of: a header, or the head that the handler asked for. The
 * rest of a long message (its tail) streams through as it comes and is never gathered.
 */

/** What the handler decided about a message. */
export const Verdict = {
  /** Forward the message as it came. */
  Forward: 0,
  /** Forward nothing of it. */
  Drop: 1,
  /** Do not forward the head (the handler wrote another one); forward the tail. */
  Replace: 2,
  /** Keep this message and all behind it until `resume()`; it is then offered again. */
  Hold: 3,
} as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

/** Receives messages; every view is valid during the call only. */
export interface MessageHandler {
  /**
   * One message whose type is marked in the MessageTable. `buffer[start, end)` is its head: the whole
   * message, unless it is longer than what the table asks for; `total` counts all its bytes.
   */
  onMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict
  /** A run of bytes to forward as they came. */
  onRun(buffer: Buffer, start: number, end: number): void
}

/** How many bytes of a message its handler wants to see, and how long it may be, by type byte. */
export class MessageTable {
  /** -1: not allowed; 0: not interesting; else the number of bytes of the head. */
  readonly needs = new Int32Array(256).fill(-1)
  readonly limits = new Int32Array(256)

  /** Messages that are forwarded without a call. */
  pass(types: readonly number[], limit: number): this {
    return this.#set(types, 0, limit)
  }

  /** Messages of which the handler wants the header only. */
  header(types: readonly number[], limit: number): this {
    return this.#set(types, HEADER_BYTES, limit)
  }

  /** Messages of which the handler wants up to `bytes` bytes. */
  head(types: readonly number[], bytes: number, limit: number): this {
    return this.#set(types, bytes, limit)
  }

  /** Messages that the handler wants whole; `limit` bounds the memory that a split one takes. */
  whole(types: readonly number[], limit: number): this {
    return this.#set(types, limit, limit)
  }

  #set(types: readonly number[], need: number, limit: number): this {
    for (const type of types) {
      this.needs[type] = need
      this.limits[type] = limit
    }
    return this
  }
}

/** The error for a length word or type byte that the table does not allow. */
export type RejectMessage = (type: number, total: number) => PoolerError

export class Framer {
  readonly #handler: MessageHandler
  readonly #table: MessageTable
  readonly #reject: RejectMessage
  /** Null where nobody reads it. */
  readonly #counts: ReadCounts | null
  /** Where the first message begins in the chunk being scanned. */
  #firstStart = 0
  /** The chunk being scanned and where the run that is not yet forwarded starts in it. */
  #chunk: Buffer | null = null
  #runStart = 0
  #chunkEnd = 0
  /** Where the message starts that the handler is deciding about. */
  #messageStart = 0
  /** Bytes of the current message that are still to come behind its head. */
  #tail = 0
  #tailForwarded = true
  /** A message whose head is not complete yet; the buffer is as long as the bytes known to be needed. */
  #partial: Buffer | null = null
  #partialLength = 0
  /** Bytes kept back by Verdict.Hold or hold(). */
  #held: Buffer | null = null
  #heldLength = 0
  #holdRest = false
  #stopped = false

  constructor(
    handler: MessageHandler,
    table: MessageTable,
    reject: RejectMessage = invalidMessage,
    counts: ReadCounts | null = null,
  ) {
    this.#handler = handler
    this.#table = table
    this.#reject = reject
    this.#counts = counts
  }

  /** True while only a part of a forwarded message has passed: its receiver waits for the rest. */
  get midMessage(): boolean {
    return this.#tail > 0 && this.#tailForwarded
  }

  /** How many bytes wait for resume(). */
  get heldBytes(): number {
    return this.#heldLength
  }

  /** Takes the next chunk. Throws the PoolerError of `reject` for a message that may not be. */
  push(chunk: Buffer, start: number, end: number): void {
    if (this.#stopped) return
    if (this.#held !== null) {
      this.#keep(chunk, start, end)
      return
    }
    let position = start
    while (this.#partial !== null) {
      position = this.#completePartial(chunk, position, end)
      if (this.#stopped) return
      if (this.#held !== null) {
        this.#keep(chunk, position, end)
        return
      }
      if (position === end) return
    }
    this.#scan(chunk, position, end)
  }

  /** The type of the message at `position` of the chunk being handled; -1 if the chunk ends there. */
  typeAt(position: number): number {
    return this.#chunk === null || position >= this.#chunkEnd ? -1 : (this.#chunk[position] as number)
  }

  /** Forwards the run collected so far, up to `position` of the chunk; for handlers that insert bytes. */
  flushRun(position: number): void {
    const chunk = this.#chunk
    if (chunk !== null && position > this.#runStart) {
      const start = this.#runStart
      this.#runStart = position
      this.#handler.onRun(chunk, start, position)
    }
  }

  /** A run that was given to the handler went nowhere: its messages are not counted as forwarded. */
  dropRun(buffer: Buffer, start: number, end: number): void {
    if (this.#counts !== null) this.#counts.dropped.addAll(buffer, Math.max(start, this.#firstStart), end)
  }

  /** Keeps everything behind the current message until resume(). To be called from inside onMessage. */
  hold(): void {
    this.#holdRest = true
  }

  /** Offers the held bytes again, oldest first. */
  resume(): void {
    this.#holdRest = false
    const held = this.#held
    if (held === null) return
    const length = this.#heldLength
    this.#held = null
    this.#heldLength = 0
    this.push(held, 0, length)
  }

  /** Takes the held bytes away, for another Framer; null if there are none. */
  takeHeld(): Buffer | null {
    const held = this.#held?.subarray(0, this.#heldLength) ?? null
    this.#held = null
    this.#heldLength = 0
    return held
  }

  /** Starts with bytes that are delivered by resume(). */
  keep(held: Buffer): void {
    this.#keep(held, 0, held.length)
  }

  /** After this nothing is delivered any more, except the run in front of the message being decided about. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.flushRun(this.#messageStart)
    this.#chunk = null
    this.#partial = null
    this.#held = null
    this.#heldLength = 0
  }

  #scan(chunk: Buffer, start: number, end: number): void {
    const { needs, limits } = this.#table
    const counts = this.#counts
    this.#chunk = chunk
    this.#runStart = start
    this.#chunkEnd = end
    let position = start
    if (this.#tail > 0) position = this.#passTail(position, end)
    this.#firstStart = position
    while (position < end) {
      if (end - position < HEADER_BYTES) break
      const type = chunk[position] as number
      const total = messageBytes(chunk, position)
      const need = needs[type] as number
      if (need < 0 || total < HEADER_BYTES || total > (limits[type] as number)) {
        this.flushRun(position)
        this.#chunk = null
        throw this.#reject(type, total)
      }
      if (need === 0) {
        const first = position
        let neighbours = 1
        position += total
        // Rows come in crowds.
        while (end - position >= HEADER_BYTES && chunk[position] === type) {
          const bytes = messageBytes(chunk, position)
          if (bytes < HEADER_BYTES || bytes > (limits[type] as number)) break
          neighbours += 1
          position += bytes
        }
        if (counts !== null) counts.read.add(type, position - first, neighbours)
        if (position > end) {
          this.#tail = position - end
          this.#tailForwarded = true
          position = end
        }
        continue
      }
      const head = Math.min(need, total)
      if (end - position < head) break
      this.#messageStart = position
      if (counts !== null) counts.read.add(type, total)
      let verdict: Verdict
      try {
        verdict = this.#handler.onMessage(type, total, chunk, position, position + head)
      } catch (error) {
        if (counts !== null) counts.dropped.add(type, total)
        throw error
      }
      if (counts !== null && verdict !== Verdict.Forward) {
        if (verdict === Verdict.Hold) counts.read.takeBack(type, total)
        else counts.dropped.add(type, total)
      }
      if (this.#stopped) {
        this.#chunk = null
        return
      }
      if (verdict === Verdict.Hold) {
        this.flushRun(position)
        this.#chunk = null
        this.#keep(chunk, position, end)
        return
      }
      position = this.#pass(verdict, position, head, total, end)
      if (this.#holdRest) {
        this.flushRun(position)
        this.#chunk = null
        this.#keep(chunk, position, end)
        return
      }
    }
    this.flushRun(position)
    this.#chunk = null
    if (position < end && !this.#stopped) this.#startPartial(chunk, position, end)
  }

  /** Moves behind a message; returns the new position, at most `end`. */
  #pass(verdict: Verdict, start: number, head: number, total: number, end: number): number {
    const next = start + total
    const position = Math.min(next, end)
    if (next > end) {
      this.#tail = next - end
      this.#tailForwarded = verdict !== Verdict.Drop
    }
    if (verdict === Verdict.Drop) {
      this.flushRun(start)
      this.#runStart = position
    } else if (verdict === Verdict.Replace) {
      this.flushRun(start)
      this.#runStart = start + head
    }
    return position
  }

  #passTail(start: number, end: number): number {
    const bytes = Math.min(this.#tail, end - start)
    this.#tail -= bytes
    const position = start + bytes
    if (!this.#tailForwarded) this.#runStart = position
    return position
  }

  #startPartial(chunk: Buffer, start: number, end: number): void {
    const available = end - start
    let bytes = HEADER_BYTES
    if (available >= HEADER_BYTES) {
      const need = this.#table.needs[chunk[start] as number] as number
      bytes = Math.min(need, messageBytes(chunk, start))
    }
    this.#partial = Buffer.allocUnsafe(bytes)
    this.#partialLength = chunk.copy(this.#partial, 0, start, end)
  }

  /** Adds bytes to the partial message; scans it as soon as its head is complete. Returns the new position. */
  #completePartial(chunk: Buffer, start: number, end: number): number {
    const partial = this.#partial as Buffer
    const copied = chunk.copy(partial, this.#partialLength, start, end)
    this.#partialLength += copied
    if (this.#partialLength === partial.length) {
      // Either the head is whole now, or only the header was known and a longer partial is started.
      this.#partial = null
      this.#scan(partial, 0, partial.length)
    }
    return start + copied
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    const bytes = end - start
    const length = this.#heldLength
    if (this.#held === null || this.#held.length < length + bytes) {
      const grown = Buffer.allocUnsafe(Math.max(length + bytes, 2 * length))
      if (this.#held !== null) this.#held.copy(grown, 0, 0, length)
      this.#held = grown
    }
    chunk.copy(this.#held, length, start, end)
    this.#heldLength = length + bytes
  }
}
