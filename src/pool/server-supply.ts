import type { PoolPolicy } from '../config/pool-policy.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { goesBy } from '../server/goes-by.ts'
import { RetryDelay } from '../server/retry-delay.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import { ConnectionLifecycle } from './connection-lifecycle.ts'
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
  /** A connection is there for whoever needs it; null = the one that was asked for must not be opened now. */
  supplied(server: ServerConnection | null): void
  /** A session is gone: its place is free. */
  serveWaiters(): void
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
  /** When that was. */
  failedAtMs = 0

  constructor(owner: SupplyOwner) {
    this.#owner = owner
    this.#lifecycle = new ConnectionLifecycle({
      permit: () => this.#permit(),
      unused: () => owner.budget.give(owner.member, null),
      leaving: (server) => owner.budget.leaving(owner.member, server),
      gone: (server) => {
        owner.budget.give(owner.member, server)
        owner.serveWaiters()
      },
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

  /** Connections that are one client's own. */
  get dedicated(): ReadonlySet<ServerConnection> {
    return this.#lifecycle.dedicated
  }

  /** Connections that exist and will be there for others again. */
  get returning(): number {
    return this.established - this.dedicated.size
  }

  /** Connections that are being opened. */
  get opening(): number {
    const { shared, dedicated } = this.#lifecycle.opening
    return shared + dedicated
  }

  /** All of them. */
  get servers(): IterableIterator<ServerConnection> {
    return this.#lifecycle.servers
  }

  /** Nothing is there, nothing on its way, and nothing about to go. */
  get isEmpty(): boolean {
    return this.#lifecycle.size === 0 && this.#acquiring === 0
  }

  /** Nothing may be opened at the moment, whatever the limits: enough is under way, or the last attempt failed lately. */
  get isBusy(): boolean {
    return Date.now() < this.#retryAtMs || this.opening >= this.#owner.policy().maxConnecting
  }

  /** The limits allow one more connection to a pool whose longest waiter waits since then. */
  hasPlace(oldestSinceMs: number): boolean {
    const { budget, member } = this.#owner
    return this.#lifecycle.size < this.#limitFor(oldestSinceMs) && budget.exhausted(member) === null
  }

  /** hasPlace() will be true once PostgreSQL has ended the sessions of closed connections. */
  getsPlace(oldestSinceMs: number): boolean {
    const { budget, member } = this.#owner
    const { size, leaving } = this.#lifecycle
    return leaving > 0 && size - leaving < this.#limitFor(oldestSinceMs) && budget.comesSoon(member)
  }

  /** Why there is no server now and will be none before the next attempt; null while there is hope. */
  get outage(): PoolerError | null {
    if (this.returning > 0 || Date.now() >= this.#retryAtMs || this.failure === null) return null
    const { sqlState, message } = this.failure
    return new PoolerError(
      sqlState,
      `server login has been failing, cached error: ${message} (server_login_retry)`,
      { cause: this.failure },
    )
  }

  /**
   * Gets a connection for each of `waiting`, as far as limits allow; who waits for too long may use the reserve. True
   * if each of them has one on its way.
   */
  serve(waiting: number, oldestSinceMs: number): boolean {
    this.#acquire(waiting, this.#limitFor(oldestSinceMs), 'waiters')
    return this.#acquiring >= waiting
  }

  /** Opens a connection that will not be shared; null where there is no place for it. */
  openDedicated(
    open: (signal: AbortSignal) => Promise<ServerConnection>,
    oldestSinceMs: number,
  ): Promise<ServerConnection> | null {
    if (!this.#mayOpen(this.#limitFor(oldestSinceMs), 1)) return null
    this.#tellOfReserve()
    this.#owner.budget.take(this.#owner.member)
    return this.#lifecycle.openDedicated(open)
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
    return this.#open(1, this.#owner.policy().size) > 0
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
    return this.#lifecycle.parked.size - (this.#acquiring - this.#lifecycle.opening.shared)
  }

  /**
   * `count` new ones that nobody waits for, unless somebody elsewhere waits for their places. generic-pool hands out
   * what is parked first, which is parked again when nobody needs it.
   */
  #open(count: number, limit: number): number {
    if (this.#owner.budget.isContended(this.#owner.member)) return 0
    return this.#acquire(this.#acquiring + this.#available + count, limit, 'nobody')
  }

  /** Sees to it that `wanted` connections are on their way, parked ones first; returns how many new ones. */
  #acquire(wanted: number, limit: number, purpose: 'waiters' | 'nobody'): number {
    let available = this.#available
    let opened = 0
    while (this.#acquiring < wanted) {
      const waiting = purpose === 'waiters' ? wanted - this.#acquiring : 0
      if (available > 0) available -= 1
      else if (this.#mayOpen(limit, waiting)) {
        opened += 1
        this.#tellOfReserve()
      } else break
      this.#limit = limit
      this.#acquiring += 1
      this.#lifecycle.acquire().then(
        (server) => this.#acquired(server),
        (error: unknown) => this.#failed(error),
      )
    }
    return opened
  }

  #tellOfReserve(): void {
    const { log, name, policy } = this.#owner
    if (this.#lifecycle.size >= policy().size)
      log.warn({ pool: name, servers: this.#lifecycle.size }, 'taking connection from reserve_pool')
  }

  /** `waiting`: how many would wait for room; those that have none under a limit of others are called when there is. */
  #mayOpen(limit: number, waiting: number): boolean {
    const { budget, member, policy } = this.#owner
    if (this.isBusy || this.#lifecycle.size >= limit) return false
    if (budget.exhausted(member) === null) return true
    const atOnce = Math.min(limit - this.#lifecycle.size, policy().maxConnecting - this.opening)
    if (waiting > 0) budget.waitForRoom(member, Math.min(waiting, atOnce))
    return false
  }

  #limitFor(oldestSinceMs: number): number {
    const { size, reserveSize, reserveTimeoutMs } = this.#owner.policy()
    const mayUseReserve = reserveSize > 0 && reserveTimeoutMs > 0
    const useReserve = mayUseReserve && Date.now() - oldestSinceMs >= reserveTimeoutMs
    return useReserve ? size + reserveSize : size
  }

  /** Asked once more: where generic-pool has to find out first that a parked one is gone, it opens one later. */
  #permit(): boolean {
    const { budget, member } = this.#owner
    if (!this.#owner.wanted() || this.#lifecycle.size >= this.#limit) return false
    if (this.opening >= this.#owner.policy().maxConnecting || budget.exhausted(member) !== null) return false
    budget.take(member)
    return true
  }

  #acquired(server: ServerConnection | null): void {
    this.#acquiring -= 1
    this.#owner.supplied(server)
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
    const isPassing = goesBy(failure)
    const pauseMs = Math.round(this.#retryDelay.next(this.#owner.policy().retryMs, isPassing))
    this.failure = failure
    this.failedAtMs = Date.now()
    this.#retryAtMs = this.failedAtMs + pauseMs
    log.warn(
      { pool: name, sqlState: failure.sqlState, reason: failure.message, retryInMs: pauseMs },
      'server connection failed',
    )
    this.#owner.failed(failure, isPassing)
  }
}

function asPoolerError(error: unknown): PoolerError {
  if (error instanceof PoolerError) return error
  return new PoolerError(SqlState.ConnectionFailure, String(error), { cause: error })
}
