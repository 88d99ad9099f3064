/** The first pause after a failure that goes by: a restart takes a second, not fifteen. */
const FIRST_MS = 250

/**
 * RetryDelay: how long a pool pauses after it failed to open a connection. Doubles with each failure in a row up to
 * server_login_retry, with jitter, so that the pools of many poolers do not come back in the same moment.
 */
export class RetryDelay {
  #failures = 0

  /** A connection was opened. */
  reset(): void {
    this.#failures = 0
  }

  /**
   * The pause after one more failure, at most `longestMs`. One that will not go by itself (a wrong password) is
   * tried again only after that.
   */
  next(longestMs: number, goesBy: boolean): number {
    const wantedMs = goesBy ? FIRST_MS * 2 ** Math.min(this.#failures, 20) : longestMs
    this.#failures += 1
    return Math.min(longestMs, wantedMs) * (0.75 + Math.random() / 4)
  }
}
