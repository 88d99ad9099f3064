import { isDedicated, type Lessee } from '../server/lessee.ts'

/**
 * WaitQueue: who waits for a server, longest first. Owned by a ServerPool. A Map keeps insertion order and
 * removes in constant time, which is all that a queue with cancellation needs.
 */
export class WaitQueue {
  readonly #sinceMs = new Map<Lessee, number>()
  /** How many of them want a connection of their own. */
  dedicated = 0

  get length(): number {
    return this.#sinceMs.size
  }

  /** Since when the longest waits; Infinity when nobody does. */
  get oldestSinceMs(): number {
    for (const sinceMs of this.#sinceMs.values()) return sinceMs
    return Number.POSITIVE_INFINITY
  }

  /** The one that waits for longest. */
  get first(): Lessee | undefined {
    for (const lessee of this) return lessee
    return undefined
  }

  push(lessee: Lessee, nowMs: number): void {
    this.#sinceMs.set(lessee, nowMs)
    if (isDedicated(lessee)) this.dedicated += 1
  }

  /** Takes out the one that has waited longest for any server. */
  shift(): Lessee | undefined {
    for (const lessee of this.#sinceMs.keys()) {
      if (isDedicated(lessee)) continue
      this.#sinceMs.delete(lessee)
      return lessee
    }
    return undefined
  }

  /** Takes out everybody that came before `beforeMs`, longest first. */
  shiftOlderThan(beforeMs: number): Lessee[] {
    const expired: Lessee[] = []
    for (const [lessee, sinceMs] of this.#sinceMs) {
      if (sinceMs >= beforeMs) break
      expired.push(lessee)
    }
    for (const lessee of expired) this.cancel(lessee)
    return expired
  }

  /** Takes out those that match, longest first. */
  takeWhere(matches: (lessee: Lessee) => boolean): Lessee[] {
    const taken = [...this.#sinceMs.keys()].filter(matches)
    for (const lessee of taken) this.cancel(lessee)
    return taken
  }

  /** True if it was waiting. */
  cancel(lessee: Lessee): boolean {
    if (!this.#sinceMs.delete(lessee)) return false
    if (isDedicated(lessee)) this.dedicated -= 1
    return true
  }

  /** All of them, longest first. */
  [Symbol.iterator](): IterableIterator<Lessee> {
    return this.#sinceMs.keys()
  }
}
