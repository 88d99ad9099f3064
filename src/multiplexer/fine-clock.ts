/** The system's time was set: less than this is the difference between two clocks that are read one after the other. */
const STEP_MS = 50

/**
 * FineClock: Date.now() with microseconds behind the point, so that short queries have a duration. It follows the
 * system's time when that is set, and goes back only then.
 */
export class FineClock {
  #offsetMs = Date.now() - performance.now()

  nowMs(): number {
    return this.#offsetMs + performance.now()
  }

  /** Called by the janitor with the system's time. */
  tick(nowMs: number): void {
    if (Math.abs(nowMs - this.nowMs()) > STEP_MS) this.#offsetMs = nowMs - performance.now()
  }
}
