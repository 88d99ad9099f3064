/** Fewer leases say nothing about their rate. */
const MIN_FINISHED = 30

/**
 * RateWindow: how many leases end in how much time under one limit. Leases that began under another one are not
 * counted: they are in step with each other and would all end in it, or none. For the same reason a window is a whole
 * number of rounds, each of as many leases as there may be at once. Owned by AutoSize.
 */
export class RateWindow {
  /** Leases that end before it begins. */
  #toSkip = 0
  /** The most that may be leased when it begins. */
  #room = 0
  /** Some have to be skipped, or more are leased than may be: it begins when they are through. */
  #settling = false
  /** It is over with so many. */
  #enough = MIN_FINISHED
  #beganMs = 0
  #finished = 0
  /** The most servers that were leased at once. */
  most = 0
  /** Servers that came back and found nobody waiting. */
  slack = 0

  get finished(): number {
    return this.#finished
  }

  /** Enough leases have ended to say something about their rate, if it has to be over now. */
  get isMeasurable(): boolean {
    return this.#finished >= MIN_FINISHED
  }

  /** Since when it counts, or is about to. */
  get beganMs(): number {
    return this.#beganMs
  }

  /**
   * `toSkip`: how many of the leases that end next may be of another limit. `active` are going on, and it does not count
   * before they are `room` at most. It is over after `wanted` leases, rounded up to rounds of `round`.
   */
  begin(nowMs: number, active: number, toSkip: number, room: number, round: number, wanted: number): void {
    this.#toSkip = toSkip
    this.#room = room
    this.#enough = Math.ceil(Math.max(MIN_FINISHED, wanted) / round) * round
    this.#count(nowMs)
    this.#settling = toSkip > 0 || active > room
  }

  /** A lease is over, `active` are still going on; true if the window is over with it. */
  leaseEnded(active: number, now: () => number): boolean {
    if (this.#settling) {
      this.#toSkip -= 1
      if (this.#toSkip <= 0 && active <= this.#room) {
        this.#settling = false
        this.#count(now())
      }
      return false
    }
    this.#finished += 1
    if (active >= this.most) this.most = active + 1
    return this.#finished >= this.#enough
  }

  #count(nowMs: number): void {
    this.#beganMs = nowMs
    this.#finished = 0
    this.most = 0
    this.slack = 0
  }
}
