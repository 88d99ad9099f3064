import type { PoolPolicy } from '../config/pool-policy.ts'
import { PASSING_TROUBLE, PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import { ConnectionLifecycle } from './connection-lifecycle.ts'
import { RetryDelay } from './retry-delay.ts'
import { idleReason, wantsReplacement } from './server-age.ts'

/** What the supply needs from its pool. */
export interface SupplyOwner {
  readonly name: string
  readonly budget: ConnectionBudget
  /** The pool as the budget knows it. */
  readonly member: BudgetMember
  readonly log: Logger
  policy(): PoolPolicy
  /** False while it wants no connection: paused, or at its end. */
  wanted(): boolean
  open(signal: AbortSignal): Promise<ServerConnection>
  /** Why a parked server has to go; null = it may stay. */
  retireReason(server: ServerConnection): string | null
  retire(server: ServerConnection, reason: string): void
  /** A connection is there for whoever needs it. */
  supplied(server: ServerConnection): void
  /** None could be opened. `goesBy`: an outage that is worth waiting for. */
  failed(error: PoolerError, goesBy: boolean): void
}

/**
 * ServerSupply: opens the connections of one pool, for waiters, up to min_pool_size, and in place of those that
 * grow old: at most max_connecting at a time, within the pool's own limit and the shared ones, and after a
 * pause where that has failed. Owned by a ServerPool, which gets every connection as it is opened.
 */
export class ServerSupply {
  readonly #owner: SupplyOwner
  readonly #lifecycle: ConnectionLifecycle
  readonly #retryDelay = new RetryDelay()
  /** Connections on their way: opened, or taken out of the parked ones. */
  #acquiring = 0
  #retryAtMs = 0
  /** The pool's limit for the connections that are asked for at the moment. */
  #limit = 0
  /** Why the last attempt failed; null after a success. */
  failure: PoolerError | null = null

  constructor(owner: SupplyOwner) {
    this.#owner = owner
    this.#lifecycle = new ConnectionLifecycle({
      permit: () => this.#permit(),
      gone: () => owner.budget.give(owner.member),
      open: (signal) => this.#opened(signal),
      retireReason: (server) =>
        owner.retireReason(server) ?? idleReason(server, owner.policy(), this.established, Date.now()),
      retire: (server, reason) => owner.retire(server, reason),
    })
  }

  /** Connections that exist, used or not. */
  get established(): number {
    return this.#lifecycle.established
  }

  /** Connections that are being opened. */
  get opening(): number {
    return this.#lifecycle.size - this.#lifecycle.established
  }

  /** All of them. */
  get servers(): IterableIterator<ServerConnection> {
    return this.#lifecycle.servers
  }

  /** Nothing is there, and nothing on its way. */
  get isEmpty(): boolean {
    return this.#lifecycle.size === 0 && this.#acquiring === 0
  }

  /** Why there is no server now and will be none before the next attempt; null while there is hope. */
  get outage(): PoolerError | null {
    if (this.#lifecycle.established > 0 || Date.now() >= this.#retryAtMs || this.failure === null) return null
    const { sqlState, message } = this.failure
    return new PoolerError(
      sqlState,
      `server login has been failing, cached error: ${message} (server_login_retry)`,
      { cause: this.failure },
    )
  }

  /** Gets a connection for each of `waiting`, as far as limits allow; who waits for too long may use the reserve. */
  serve(waiting: number, oldestSinceMs: number): void {
    const { size, reserveSize, reserveTimeoutMs } = this.#owner.policy()
    const useReserve = reserveSize > 0 && Date.now() - oldestSinceMs >= reserveTimeoutMs
    this.#acquire(waiting, useReserve ? size + reserveSize : size, true)
  }

  /** Called by the janitor: opens what is missing to min_pool_size, and a successor for what grows old in use. */
  tick(nowMs: number): void {
    const policy = this.#owner.policy()
    for (const server of this.servers) {
      if (wantsReplacement(server, policy, nowMs)) server.replaced = this.replace()
    }
    const { minSize } = policy
    const missing = minSize - this.#lifecycle.size
    if (missing > 0) this.#open(missing, minSize)
  }

  /** Opens one more, if that is within the limits, so that an old one may go. True if it was asked for. */
  replace(): boolean {
    const before = this.opening
    this.#open(1, this.#owner.policy().size)
    return this.opening > before
  }

  /** The limits have changed, or the server may be there again: an attempt is worth it at once. */
  retryNow(): void {
    this.#retryAtMs = 0
    this.#retryDelay.reset()
  }

  park(server: ServerConnection): void {
    this.#lifecycle.park(server)
  }

  forget(server: ServerConnection): void {
    this.#lifecycle.forget(server)
  }

  async stop(): Promise<void> {
    await this.#lifecycle.stop()
  }

  /** Parked connections that nobody has asked for yet. */
  get #available(): number {
    return this.#lifecycle.parked.size - (this.#acquiring - this.opening)
  }

  /** `count` new ones: generic-pool hands out what is parked first, which is parked again when nobody needs it. */
  #open(count: number, limit: number): void {
    this.#acquire(this.#acquiring + this.#available + count, limit, false)
  }

  /** Sees to it that `wanted` connections are on their way, parked ones first. */
  #acquire(wanted: number, limit: number, mayMakeRoom: boolean): void {
    let available = this.#available
    while (this.#acquiring < wanted) {
      if (available > 0) available -= 1
      else if (!this.#mayOpen(limit, mayMakeRoom)) return
      this.#limit = limit
      this.#acquiring += 1
      this.#lifecycle.acquire().then(
        (server) => this.#acquired(server),
        (error: unknown) => this.#failed(error),
      )
    }
  }

  #mayOpen(limit: number, mayMakeRoom: boolean): boolean {
    const { budget, member } = this.#owner
    if (Date.now() < this.#retryAtMs || this.opening >= this.#owner.policy().maxConnecting) return false
    if (this.#lifecycle.size >= limit) return false
    if (budget.exhausted(member) === null) return true
    if (mayMakeRoom && budget.makeRoom(member)) return true
    if (mayMakeRoom) budget.waitForRoom(member)
    return false
  }

  #permit(): boolean {
    const { budget, member } = this.#owner
    if (!this.#owner.wanted() || this.#lifecycle.size >= this.#limit || budget.exhausted(member) !== null)
      return false
    budget.take(member)
    return true
  }

  #acquired(server: ServerConnection | null): void {
    this.#acquiring -= 1
    if (server !== null) this.#owner.supplied(server)
  }

  async #opened(signal: AbortSignal): Promise<ServerConnection> {
    const server = await this.#owner.open(signal)
    this.failure = null
    this.retryNow()
    return server
  }

  #failed(error: unknown): void {
    this.#acquiring -= 1
    const { log, name } = this.#owner
    const failure = asPoolerError(error)
    const goesBy = PASSING_TROUBLE.has(failure.sqlState.slice(0, 2))
    const pauseMs = Math.round(this.#retryDelay.next(this.#owner.policy().retryMs, goesBy))
    this.failure = failure
    this.#retryAtMs = Date.now() + pauseMs
    log.warn(
      { pool: name, sqlState: failure.sqlState, reason: failure.message, retryInMs: pauseMs },
      'server connection failed',
    )
    this.#owner.failed(failure, goesBy)
  }
}

function asPoolerError(error: unknown): PoolerError {
  if (error instanceof PoolerError) return error
  return new PoolerError(SqlState.ConnectionFailure, String(error), { cause: error })
}
