import type { PoolPolicy } from '../config/pool-policy.ts'
import type { PoolerError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { WaitQueue } from './wait-queue.ts'
import { type WaitingPool, waitTimeoutError } from './wait-timeout-error.ts'

/** Refusals: who is sent away from the queue of a pool, and what they are told. Owned by a ServerPool. */
export class Refusals {
  readonly #pool: WaitingPool & { readonly policy: PoolPolicy }
  readonly #budget: ConnectionBudget
  readonly #waiters: WaitQueue
  readonly #log: Logger

  constructor(
    pool: WaitingPool & { readonly policy: PoolPolicy },
    budget: ConnectionBudget,
    waiters: WaitQueue,
    log: Logger,
  ) {
    this.#pool = pool
    this.#budget = budget
    this.#waiters = waiters
    this.#log = log
  }

  /** Those that have waited for longer than query_wait_timeout. `failure`: why no connection could be opened lately. */
  refuseLate(nowMs: number, failure: PoolerError | null): void {
    const { database, user, policy } = this.#pool
    const { waitTimeoutMs } = policy
    const late = waitTimeoutMs === 0 ? [] : this.#waiters.shiftOlderThan(nowMs - waitTimeoutMs)
    if (late.length === 0) return
    const error = waitTimeoutError(this.#pool, this.#budget, failure, late.length)
    this.#log.warn({ pool: `${database}/${user}`, reason: error.message, refused: late.length }, error.detail)
    for (const lessee of late) lessee.onLeaseRefused(error)
  }

  /**
   * No connection could be opened, and none is alive that will come back. A server that cannot be reached is worth
   * waiting for; one that refused the login is not.
   */
  refuseAfter(failure: PoolerError, goesBy: boolean): void {
    for (const lessee of this.#waiters.takeWhere((waiter) => !goesBy || !waiter.patient))
      lessee.onLeaseRefused(failure)
  }

  /** Everybody: the pool ends. */
  refuseAll(error: PoolerError): void {
    for (const lessee of this.#waiters.takeWhere(() => true)) lessee.onLeaseRefused(error)
  }
}
