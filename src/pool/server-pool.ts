import type { PoolPolicy } from '../config/pool-policy.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { DedicatedLessee, Lessee, StartupParameters } from '../server/lessee.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'
import { ActiveServers } from './active-servers.ts'
import { admitServer } from './admit-server.ts'
import { Conditions } from './conditions.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import { DatabaseStats } from './database-stats.ts'
import { DedicatedServers } from './dedicated-servers.ts'
import { IdleServerHandler } from './idle-server-handler.ts'
import { IdleServers } from './idle-servers.ts'
import { logClosed } from './log-connections.ts'
import { PoolClients } from './pool-clients.ts'
import { PoolGeneration } from './pool-generation.ts'
import type { PoolMetrics } from './pool-metrics.ts'
import { Refusals } from './refusals.ts'
import { PLACE_NEEDED, RetireReasons } from './retire-reasons.ts'
import { wantsReplacement } from './server-age.ts'
import { ServerChecks } from './server-checks.ts'
import type { ServerPoolOptions } from './server-pool-options.ts'
import { ServerSupply } from './server-supply.ts'
import { WaitQueue } from './wait-queue.ts'

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
  readonly #name: string
  readonly #log: Logger
  readonly #budget: ConnectionBudget
  /** Which connections exist, and why there are no more. */
  readonly supply: ServerSupply
  readonly #idleHandler: IdleServerHandler
  readonly #idle: IdleServers
  readonly #dedicated: DedicatedServers
  readonly #waiters = new WaitQueue()
  readonly #refusals: Refusals
  readonly #reasons: RetireReasons
  readonly #active: ActiveServers
  readonly #checks = new ServerChecks()
  readonly #conditions = new Conditions()
  readonly generation = new PoolGeneration()
  readonly clients = new PoolClients()
  /** What its clients have done; shared with the other pools of the database. */
  stats = new DatabaseStats()
  /** Null where nobody reads them. */
  metrics: PoolMetrics | null = null
  /** Set by pause(), resume() and kill() alone. */
  paused = false
  /** Set by configure() alone. */
  policy: PoolPolicy
  /** Set by stop() alone. */
  stopping = false
  /** In a call of lease(). */
  #leasing = false

  constructor({ database, user, policy, budget, open, log }: ServerPoolOptions) {
    this.database = database
    this.user = user
    this.#name = `${database}/${user}`
    this.policy = policy
    this.#budget = budget
    this.#log = log
    this.#idleHandler = new IdleServerHandler(this.#name, log, this)
    this.#refusals = new Refusals(this, budget, this.#waiters, log)
    const owner = {
      name: this.#name,
      member: this,
      budget,
      log,
      waiters: this.#waiters,
      policy: () => this.policy,
      tested: () => this.tested,
      room: () => this.#active.room,
      wanted: () => !this.paused && !this.stopping,
      open: (signal: AbortSignal, startup?: StartupParameters) =>
        admitServer(this, open(signal, startup), this.#idleHandler, startup === undefined, log),
      retireReason: (server: ServerConnection) => this.#reasons.of(server),
      retire: (server: ServerConnection, reason: string) => this.#retire(server, reason),
      supplied: (server: ServerConnection) => this.#supplied(server),
      give: (server: ServerConnection) => this.#give(server),
      serveWaiters: () => this.#serveWaiters(),
      failed: (error: PoolerError, goesBy: boolean) => {
        if (!this.stopping && this.supply.returning === 0) this.#refusals.refuseAfter(error, goesBy)
      },
    }
    this.supply = new ServerSupply(owner)
    this.#idle = new IdleServers(this.supply)
    this.#active = new ActiveServers(policy, this.supply.dedicated)
    this.#dedicated = new DedicatedServers(owner, this.supply, this.#idle)
    this.#reasons = new RetireReasons(this, budget, this.#dedicated)
  }

  get activeCount(): number {
    return this.#active.size
  }

  /** How many servers may be leased at once, where `pool_size = "auto"` finds that out; else null. */
  get autoSize(): ActiveServers['auto'] {
    return this.#active.auto
  }

  get size(): number {
    return this.supply.established
  }

  get waiting(): number {
    return this.#waiters.length
  }

  get tested(): number {
    return this.#checks.size
  }

  get opening(): number {
    return this.supply.opening
  }

  /** Since when its longest waiter waits for more than a RESUME; Infinity without one. */
  get waitingSinceMs(): number {
    return this.paused ? Number.POSITIVE_INFINITY : this.#waiters.oldestSinceMs
  }

  spare(belowMinimum: boolean): ServerConnection | undefined {
    if (!belowMinimum && this.size <= this.policy.minSize) return undefined
    const idle = this.#idle.coldestFirst
    // Its own waiters are about to get theirs.
    return idle.length > this.#served(this.waiting) ? idle[0] : undefined
  }

  /**
   * A server for `lessee`, or undefined: then it is in the queue, and `onLease` or `onLeaseRefused` follows.
   * The lessee becomes the server's handler in the call that gives it the server.
   */
  lease(lessee: Lessee): ServerConnection | undefined {
    const server = this.#active.room > 0 ? this.#idle.take(this.policy.roundRobin) : undefined
    const isDue = server !== undefined && this.#checks.isDue(server, this.policy)
    if (server !== undefined && !isDue && !this.#dedicated.queueTakesIdle) return this.#give(server)
    this.#waiters.push(lessee, Date.now())
    this.#leasing = true
    if (isDue) this.#checks.start(server, this.policy, this)
    // Others wait for the answer to a check.
    else if (server !== undefined) this.#offer(server)
    this.#serveWaiters()
    this.#leasing = false
    return undefined
  }

  /** A server connection for `lessee` alone, until that closes it: `onLease` or `onLeaseRefused` follows. */
  dedicate(lessee: DedicatedLessee): void {
    this.#waiters.push(lessee, Date.now())
    this.#serveWaiters()
  }

  /** Takes a lessee out of the queue; true if it was there. */
  cancelWait(lessee: Lessee): boolean {
    return this.#waiters.cancel(lessee) || this.#dedicated.cancel(lessee)
  }

  /**
   * Ends a lease. The server owes nothing and is in no transaction; the longest waiter gets it in this very
   * call. A server with a CancelRequest under way waits for that: the cancel must not hit the next client.
   */
  release(server: ServerConnection): void {
    const mayLeaseMore = this.#active.release(server)
    server.isUsed = true
    this.#idleHandler.take(server)
    const isOpen = server.state !== ServerState.Closed
    const isBeingCanceled = isOpen && server.cancelsInFlight > 0 && server.usable
    if (isBeingCanceled) server.state = ServerState.BeingCanceled
    else if (isOpen && !this.#check(server)) this.#offer(server)
    if (mayLeaseMore || isBeingCanceled) this.#serveWaiters()
  }

  /** A CancelRequest for `server` is through. */
  cancelDone(server: ServerConnection): void {
    if (server.state === ServerState.BeingCanceled && server.cancelsInFlight === 0) this.release(server)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    this.#refusals.refuseLate(nowMs, this.supply.failure)
    this.#idle.park(nowMs, this.policy)
    this.#checks.tick(nowMs, this.policy)
    if (!this.paused && !this.stopping) this.supply.tick(nowMs)
    this.#active.tick(!this.paused && this.size > 0, this.waiting > this.#waiters.dedicated)
    this.#serveWaiters()
    for (const server of this.#idle.coldestFirst) {
      const reason = this.#reasons.ofIdle()
      if (reason !== null) this.#retire(server, reason)
    }
    this.#conditions.check()
  }

  /** A reload: other limits and times from now on. Connections beyond a smaller limit go as they fall idle. */
  configure(policy: PoolPolicy): void {
    this.policy = policy
    this.#active.configure(policy)
    this.#serveWaiters()
  }

  /** No server is leased and none is kept until resume(): PAUSE. Those in use are closed as they come back. */
  pause(): void {
    this.paused = true
    for (const server of this.#idle.all) this.#retire(server, 'pause')
    this.#conditions.check()
  }

  resume(): void {
    this.paused = false
    this.supply.retryNow()
    this.#serveWaiters()
  }

  /** Paused, and every server closed at once, in use or not: KILL. */
  kill(error: PoolerError): void {
    this.paused = true
    for (const server of [...this.supply.servers]) server.close(error)
  }

  /** Another generation: idle servers are closed now, those in use as they come back. RECONNECT, changed settings. */
  renew(reason: string): void {
    this.generation.next(reason)
    this.supply.retryNow()
    for (const server of this.#idle.all) this.#retire(server, reason)
    this.#serveWaiters()
  }

  /** Some servers only: idle ones are closed now, those in use as they come back. */
  retireWhere(matches: (server: ServerConnection) => boolean, reason: string): void {
    for (const server of this.#idle.outdate(matches, reason)) this.#retire(server, reason)
  }

  /** Resolves when `condition` holds, which is looked at whenever a server goes and at each tick. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition)
  }

  /** Refuses the waiters and closes all servers. */
  async stop(error: PoolerError): Promise<void> {
    this.stopping = true
    this.#refusals.refuseAll(error)
    for (const server of [...this.supply.servers]) server.close(error)
    this.#budget.leave(this)
    await this.supply.stop()
  }

  giveUp(server: ServerConnection): void {
    this.#retire(server, PLACE_NEEDED)
  }

  onRoom(): void {
    this.#serveWaiters()
  }

  /** A server of this pool is closed. Its place is free when PostgreSQL has ended the session. */
  onServerClosed(server: ServerConnection, error: PoolerError): void {
    logClosed(this.#log, this, server, error)
    this.stats.serverParses += server.tracker.parses
    this.#active.remove(server)
    this.#checks.remove(server)
    this.#idle.remove(server)
    this.supply.forget(server)
    this.#serveWaiters()
    this.#conditions.check()
  }

  #give(server: ServerConnection): ServerConnection {
    this.#active.add(server)
    server.state = ServerState.Active
    return server
  }

  /** A server that could serve: to the longest waiter, or onto the warm stack. */
  #offer(server: ServerConnection): void {
    const reason = this.#reasons.ofOffered(server)
    if (reason !== null) {
      this.#retire(server, reason)
      return
    }
    const lessee = this.#active.room > 0 ? this.#waiters.shift() : undefined
    if (lessee === undefined) {
      if (this.waiting === 0) this.#active.auto?.noteSlack()
      this.#idle.put(server)
    } else lessee.onLease(this.#give(server))
  }

  /** server_check_query was answered. */
  onChecked(server: ServerConnection): void {
    this.#checks.remove(server)
    this.#idleHandler.take(server)
    this.#offer(server)
  }

  /** A connection was opened, or comes out of the parked ones. */
  #supplied(server: ServerConnection | null): void {
    if (server !== null && !this.#check(server)) this.#offer(server)
    this.#serveWaiters()
  }

  /** Asks server_check_query if that is due before a waiter gets the server; true if so. */
  #check(server: ServerConnection): boolean {
    if (this.#served(this.waiting) === 0 || !this.#checks.isDue(server, this.policy)) return false
    if (this.#reasons.of(server) !== null) return false
    this.#checks.start(server, this.policy, this)
    return true
  }

  #serveWaiters(): void {
    if (this.stopping || this.paused || this.waiting === 0) return
    // In lease() whoever asks is in the queue, and must not be served before that has returned.
    if (!this.#leasing) this.#serveFromIdle()
    const waiting = this.#served(this.#dedicated.serve())
    this.supply.serve(Math.max(0, waiting - this.#checks.size), this.#waiters.oldestSinceMs)
  }

  /** How many of those that wait may have a server beside those in use. */
  #served(waiting: number): number {
    return Math.min(waiting, this.#active.room)
  }

  /** Idle servers for those who wait: there are both where a limit of "auto" has risen, or a server beside them has gone. */
  #serveFromIdle(): void {
    while (this.#served(this.waiting - this.#waiters.dedicated) > this.#checks.size) {
      const server = this.#idle.take(this.policy.roundRobin)
      if (server === undefined) return
      if (!this.#check(server)) this.#offer(server)
    }
  }

  /** Closes a server that owes nothing. One that was in use until its time was up gets a successor. */
  #retire(server: ServerConnection, reason: string): void {
    const succeeds =
      reason === 'server_lifetime' && this.waiting === 0 && wantsReplacement(server, this.policy, Date.now())
    server.close(new PoolerError(SqlState.AdminShutdown, reason))
    if (succeeds && !this.supply.replace()) server.whenGone(() => this.supply.replace())
  }
}
