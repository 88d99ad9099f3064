/**
 * TrialSide: what the turns of one limit brought, of the period that is being measured and of the last turn. Owned by
 * AutoSize, which has two of them: what there is, and what is tried.
 */
export class TrialSide {
  #finished = 0
  #ms = 0
  /** Leases per millisecond in the last turn; 0 = not known. */
  lastRate = 0
  /** The most servers that were leased at once in the last turn; 0 = not known. */
  lastMost = 0

  /** How long the turns of this period took. */
  get ms(): number {
    return this.#ms
  }

  /** Leases that ended in this period, per millisecond. */
  get rate(): number {
    return this.#finished / this.#ms
  }

  add(finished: number, ms: number, most: number): void {
    this.#finished += finished
    this.#ms += ms
    this.lastRate = finished / Math.max(1, ms)
    this.lastMost = most
  }

  beginPeriod(): void {
    this.#finished = 0
    this.#ms = 0
  }

  /** What is known of the last turn is not to be relied upon. */
  forget(): void {
    this.lastRate = 0
    this.lastMost = 0
  }
}
