/** Room for the largest read (64 KiB) and the messages inserted around it, so that a chunk is one write. */
const SCRATCH_BYTES = 96 * 1024
/** More scratch buffers than this are left to the garbage collector. */
const MAX_SPARE = 16

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
  readonly #spare: Buffer[] = []
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
    this.#dirty.push(wire)
    if (this.#inTurn || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  takeScratch(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  }

  /** Gives back a scratch buffer that the kernel has taken whole. */
  giveScratch(scratch: Buffer): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(scratch)
  }

  #flush(): void {
    const dirty = this.#dirty
    // A flush can make other wires dirty (a congested peer is told), so the length is read anew each time.
    for (let i = 0; i < dirty.length; i++) (dirty[i] as Flushable).flush()
    dirty.length = 0
  }
}
