/** Room for the largest read (64 KiB) and the messages inserted around it, so that a chunk is one write. */
const SCRATCH_BYTES = 96 * 1024
/** More scratch buffers than this are left to the garbage collector. */
const MAX_SPARE = 16

/** Views of the beginning of a scratch buffer up to this length are kept: most writes are short. */
const MAX_KEPT_VIEW = 512

/** A buffer that one turn's bytes for one wire are collected in. */
export class Scratch {
  readonly buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  readonly #views: (Buffer | undefined)[] = []

  /** The first `length` bytes; making a view costs more than writing a short message. */
  view(length: number): Buffer {
    if (length >= MAX_KEPT_VIEW) return this.buffer.subarray(0, length)
    this.#views[length] ??= this.buffer.subarray(0, length)
    return this.#views[length] as Buffer
  }
}

/** A wire, seen from here. */
interface Flushable {
  flush(): void
}

/**
 * FlushQueue: which wires have bytes to write at the end of this turn, and the buffers they collect them in.
 * A turn is the handling of one chunk; everything appended during it goes out as one write per wire.
 * Outside a turn (timers, connects) the flush happens in a microtask.
 */
export class FlushQueue {
  readonly #dirty: Flushable[] = []
  #dirtyCount = 0
  readonly #spare: Scratch[] = []
  #inTurn = false
  #scheduled = false

  /** Called by the transport around every chunk. */
  beginTurn(): void {
    this.#inTurn = true
  }

  endTurn(): void {
    this.#flush()
    this.#inTurn = false
  }

  /** Registers a wire that has just collected its first bytes of this turn. */
  add(wire: Flushable): void {
    this.#dirty[this.#dirtyCount] = wire
    this.#dirtyCount += 1
    if (this.#inTurn || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  takeScratch(): Scratch {
    return this.#spare.pop() ?? new Scratch()
  }

  /** Gives back a scratch buffer that the kernel has taken whole. */
  giveScratch(scratch: Scratch): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(scratch)
  }

  #flush(): void {
    // A flush can make other wires dirty (a congested peer is told), so the count is read anew each time.
    for (let i = 0; i < this.#dirtyCount; i++) (this.#dirty[i] as Flushable).flush()
    this.#dirtyCount = 0
  }
}
