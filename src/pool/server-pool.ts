import type { PoolPolicy } from '../config/pool-policy.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Lessee } from '../server/lessee.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'
import { Conditions } from './conditions.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import { IdleServerHandler } from './idle-server-handler.ts'
import { IdleServers } from './idle-servers.ts'
import { PoolGeneration } from './pool-generation.ts'
import { usedUpReason, wantsReplacement } from './server-age.ts'
import { ServerChecks } from './server-checks.ts'
import { ServerSupply } from './server-supply.ts'
import { WaitQueue } from './wait-queue.ts'
import { waitTimeoutError } from './wait-timeout-error.ts'

/** What makes a pool. */
export interface ServerPoolOptions {
  readonly database: string
  /** Who the pooler logs in as at the server. */
  readonly user: string
  readonly policy: PoolPolicy
  readonly budget: ConnectionBudget
  readonly open: (signal: AbortSignal) => Promise<ServerConnection>
  readonly log: Logger
}

/**
 * ServerPool: the servers of one (database, user) and who gets the next one. It owns the warm stack, the queue of
 * waiters, the checks under way and the generation; which connections exist is the business of its ServerSupply.
 *
 *   lease()   warm stack (last in, first out) -> check, parked or new connection -> queue
 *   release() longest waiter -> warm stack; or closed: paused, old, of an earlier generation, owed to another pool
 */
export class ServerPool implements BudgetMember {
  readonly database: string
  readonly user: string
  readonly #log: Logger
  readonly #budget: ConnectionBudget
  readonly #supply: ServerSupply
  readonly #idleHandler: IdleServerHandler
  readonly #idle: IdleServers
  readonly #waiters = new WaitQueue()
  /** Servers that are leased. */
  readonly #active = new Set<ServerConnection>()
  readonly #checks = new ServerChecks()
  readonly #conditions = new Conditions()
  readonly generation = new PoolGeneration()
  /** Why its clients are disconnected once they are in no transaction; null = they are served. */
  ending: PoolerError | null = null
  /** Sessions that belong to it, with a server or without; when the last of them ended. */
  sessions = 0
  usedAtMs = Date.now()
  #policy: PoolPolicy
  #paused = false
  #stopping = false

  constructor({ database, user, policy, budget, open, log }: ServerPoolOptions) {
    this.database = database
    this.user = user
    this.#policy = policy
    this.#budget = budget
    this.#log = log
    this.#idleHandler = new IdleServerHandler(this.#name, log, (server, error) =>
      this.onServerClosed(server, error),
    )
    this.#supply = new ServerSupply({
      name: this.#name,
      member: this,
      budget,
      log,
      policy: () => this.#policy,
      wanted: () => !this.#paused && !this.#stopping,
      open: (signal) => this.#open(open, signal),
      retireReason: (server) => this.#retireReason(server),
      retire: (server, reason) => this.#retire(server, reason),
      supplied: (server) => this.#supplied(server),
      failed: (error, goesBy) => this.#refuseAfter(error, goesBy),
    })
    this.#idle = new IdleServers(this.#supply)
  }

  /** Servers that are leased at the moment. */
  get activeCount(): number {
    return this.#active.size
  }

  /** Connections that exist, used or not. */
  get size(): number {
    return this.#supply.established
  }

  get waiting(): number {
    return this.#waiters.length
  }

  /** Servers that are asked server_check_query. */
  get tested(): number {
    return this.#checks.size
  }

  get paused(): boolean {
    return this.#paused
  }

  get policy(): PoolPolicy {
    return this.#policy
  }

  get opening(): number {
    return this.#supply.opening
  }

  /** Since when its longest waiter waits for more than a RESUME; Infinity without one. */
  get waitingSinceMs(): number {
    return this.#paused ? Number.POSITIVE_INFINITY : this.#waiters.oldestSinceMs
  }

  get spare(): ServerConnection | undefined {
    return this.size > this.#policy.minSize ? this.#idle.coldest : undefined
  }

  /** Nobody would miss it. */
  get isForgettable(): boolean {
    return this.sessions === 0 && this.waiting === 0 && this.#supply.isEmpty && this.#policy.minSize === 0
  }

  /** Why there is no server now and will be none before the next attempt; null while there is hope. */
  get outage(): PoolerError | null {
    return this.#supply.outage
  }

  /**
   * A server for `lessee`, or undefined: then it is in the queue, and `onLease` or `onLeaseRefused` follows.
   * The lessee becomes the server's handler in the call that gives it the server.
   */
  lease(lessee: Lessee): ServerConnection | undefined {
    const server = this.#idle.take(this.#policy.roundRobin)
    if (server !== undefined) {
      if (!this.#checks.isDue(server, this.#policy)) return this.#give(server)
      this.#checks.start(server, this.#policy, this)
    }
    this.#waiters.push(lessee, Date.now())
    this.#serveWaiters()
    return undefined
  }

  /** Takes a lessee out of the queue; true if it was there. */
  cancelWait(lessee: Lessee): boolean {
    return this.#waiters.cancel(lessee)
  }

  /**
   * Ends a lease. The server owes nothing and is in no transaction; the longest waiter gets it in this very
   * call. A server with a CancelRequest under way waits for that: the cancel must not hit the next client.
   */
  release(server: ServerConnection): void {
    this.#active.delete(server)
    this.#idleHandler.take(server)
    if (server.state === ServerState.Closed) return
    if (server.cancelsInFlight > 0 && server.usable) server.state = ServerState.BeingCanceled
    else this.#offer(server)
  }

  /** A CancelRequest for `server` is through. */
  cancelDone(server: ServerConnection): void {
    if (server.state === ServerState.BeingCanceled && server.cancelsInFlight === 0) this.release(server)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    this.#refuseLate(nowMs)
    this.#idle.park(nowMs)
    this.#checks.tick(nowMs, this.#policy)
    if (!this.#paused && !this.#stopping) this.#supply.tick(nowMs)
    this.#serveWaiters()
    // The reserve is not needed any more, or a reload has made the pool smaller.
    const surplus = this.size > this.#policy.size && this.waiting === 0 ? this.#idle.coldest : undefined
    if (surplus !== undefined) this.#retire(surplus, 'more connections than pool_size')
    this.#conditions.check()
  }

  /** A reload: other limits and times from now on. Connections beyond a smaller limit go as they fall idle. */
  configure(policy: PoolPolicy): void {
    this.#policy = policy
    this.#serveWaiters()
  }

  /** No server is leased and none is kept until resume(): PAUSE. Those in use are closed as they come back. */
  pause(): void {
    this.#paused = true
    for (const server of this.#idle.all) this.#retire(server, 'pause')
    this.#conditions.check()
  }

  resume(): void {
    this.#paused = false
    this.#supply.retryNow()
    this.#serveWaiters()
  }

  /** Paused, and every server closed at once, in use or not: KILL. */
  kill(error: PoolerError): void {
    this.#paused = true
    for (const server of [...this.#supply.servers]) server.close(error)
  }

  /** Another generation: idle servers are closed now, those in use as they come back. RECONNECT, changed settings. */
  renew(reason: string): void {
    this.generation.next(reason)
    this.#supply.retryNow()
    for (const server of this.#idle.all) this.#retire(server, reason)
    this.#serveWaiters()
  }

  /** Some server of an earlier generation is still in use. */
  get isRenewing(): boolean {
    return [...this.#supply.servers].some((server) => this.generation.retireReason(server) !== null)
  }

  /** Resolves when `condition` holds, which is looked at whenever a server goes and at each tick. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition)
  }

  /** Refuses the waiters and closes all servers. */
  async stop(error: PoolerError): Promise<void> {
    this.#stopping = true
    for (const lessee of this.#waiters.takeWhere(() => true)) lessee.onLeaseRefused(error)
    for (const server of [...this.#supply.servers]) server.close(error)
    this.#budget.leave(this)
    await this.#supply.stop()
  }

  giveUp(server: ServerConnection): void {
    this.#retire(server, 'another pool needs its place')
  }

  onRoom(): void {
    this.#serveWaiters()
  }

  /** A server of this pool is closed: its place is free. */
  onServerClosed(server: ServerConnection, error: PoolerError): void {
    this.#log.info(
      { pool: this.#name, serverPid: server.processId, sqlState: error.sqlState, reason: error.message },
      'server connection closed',
    )
    this.#active.delete(server)
    this.#checks.remove(server)
    this.#idle.remove(server)
    this.#supply.forget(server)
    this.#serveWaiters()
    this.#conditions.check()
  }

  get #name(): string {
    return `${this.database}/${this.user}`
  }

  #give(server: ServerConnection): ServerConnection {
    this.#active.add(server)
    server.state = ServerState.Active
    return server
  }

  /** A server that could serve: to the longest waiter, or onto the warm stack. */
  #offer(server: ServerConnection): void {
    const reason = this.#retireReason(server)
    if (reason !== null) {
      this.#retire(server, reason)
      return
    }
    if (this.#budget.contended && this.#budget.isOwed(this, Date.now())) {
      this.giveUp(server)
      return
    }
    const lessee = this.#waiters.shift()
    if (lessee === undefined) this.#idle.put(server)
    else lessee.onLease(this.#give(server))
  }

  /** server_check_query was answered. */
  onChecked(server: ServerConnection): void {
    this.#checks.remove(server)
    this.#idleHandler.take(server)
    this.#offer(server)
  }

  async #open(open: ServerPoolOptions['open'], signal: AbortSignal): Promise<ServerConnection> {
    const generation = this.generation.number
    const server = await open(signal)
    this.generation.opened(server, generation)
    this.#log.info({ pool: this.#name, serverPid: server.processId }, 'server connection opened')
    this.#idleHandler.adopt(server)
    if (server.state === ServerState.Closed)
      throw new PoolerError(
        SqlState.ConnectionFailure,
        'the server closed the connection right after its login',
      )
    return server
  }

  /** A connection was opened, or comes out of the parked ones. */
  #supplied(server: ServerConnection): void {
    const due = this.waiting > 0 && this.#checks.isDue(server, this.#policy)
    if (due && this.#retireReason(server) === null) this.#checks.start(server, this.#policy, this)
    else this.#offer(server)
    this.#serveWaiters()
  }

  #serveWaiters(): void {
    if (this.#stopping || this.#paused || this.waiting === 0) return
    this.#supply.serve(Math.max(0, this.waiting - this.#checks.size), this.#waiters.oldestSinceMs)
  }

  /** Why a server must not be leased any more; null = it may. */
  #retireReason(server: ServerConnection): string | null {
    if (this.#paused) return 'pause'
    if (this.#stopping) return 'pooler is shutting down'
    return this.generation.retireReason(server) ?? usedUpReason(server, this.#policy, Date.now())
  }

  /** Closes a server that owes nothing. One that was in use until its time was up gets a successor. */
  #retire(server: ServerConnection, reason: string): void {
    const succeeds =
      reason === 'server_lifetime' && this.waiting === 0 && wantsReplacement(server, this.#policy, Date.now())
    server.close(new PoolerError(SqlState.AdminShutdown, reason))
    if (succeeds) this.#supply.replace()
  }

  /** Refuses those that have waited for longer than query_wait_timeout. */
  #refuseLate(nowMs: number): void {
    const { waitTimeoutMs } = this.#policy
    const late = waitTimeoutMs === 0 ? [] : this.#waiters.shiftOlderThan(nowMs - waitTimeoutMs)
    if (late.length === 0) return
    const error = waitTimeoutError(this, this.#supply.failure, late.length)
    this.#log.warn({ pool: this.#name, reason: error.message, refused: late.length }, error.detail)
    for (const lessee of late) lessee.onLeaseRefused(error)
  }

  /**
   * No connection could be opened. A server that cannot be reached is worth waiting for; one that refused
   * the login is not, unless some connection is alive that will come back.
   */
  #refuseAfter(failure: PoolerError, goesBy: boolean): void {
    if (this.#stopping || this.size > 0) return
    for (const lessee of this.#waiters.takeWhere((waiter) => !goesBy || !waiter.patient))
      lessee.onLeaseRefused(failure)
  }
}
