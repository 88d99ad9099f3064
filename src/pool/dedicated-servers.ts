import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { type DedicatedLessee, isDedicated, type Lessee, type StartupParameters } from '../server/lessee.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { IdleServers } from './idle-servers.ts'
import type { ServerSupply } from './server-supply.ts'
import type { WaitQueue } from './wait-queue.ts'

/** What is needed from the pool. */
interface DedicatedServersOwner {
  readonly name: string
  readonly log: Logger
  readonly waiters: WaitQueue
  /** Servers that are being checked for somebody in the queue. */
  tested(): number
  /** How many more servers may be leased. */
  room(): number
  open(signal: AbortSignal, startup?: StartupParameters): Promise<ServerConnection>
  /** Why a server that has just been opened cannot be used; null = it can. */
  retireReason(server: ServerConnection): string | null
  /** Closes an idle server. */
  retire(server: ServerConnection, reason: string): void
  /** A server is in use from now on. */
  give(server: ServerConnection): unknown
  serveWaiters(): void
}

const NEEDED = 'a replication connection needs its place'
const CLIENT_LEFT = new PoolerError(SqlState.AdminShutdown, 'the client that it was opened for has left')

/**
 * DedicatedServers: the connections of one pool that are opened for one client each, with its own parameters, and are
 * closed when it leaves. They count in pool_size and the shared limits like all others. Who asks for one waits in the
 * pool's queue; when it is its turn an idle server is closed in its favour, or the next one that is released.
 * Owned by a ServerPool; it owns the logins under way.
 */
export class DedicatedServers {
  readonly #owner: DedicatedServersOwner
  readonly #supply: ServerSupply
  readonly #idle: IdleServers
  /** Who left the queue because its connection is being opened. */
  readonly #opening = new Map<Lessee, AbortController>()
  #serving = false

  constructor(owner: DedicatedServersOwner, supply: ServerSupply, idle: IdleServers) {
    this.#owner = owner
    this.#supply = supply
    this.#idle = idle
  }

  /** Somebody in the queue takes the next idle server, or its place. */
  get queueTakesIdle(): boolean {
    const { length, dedicated } = this.#owner.waiters
    return length > dedicated || this.claimsNext
  }

  /** The next in the queue needs the place of a server that comes back: it is to be closed. */
  get claimsNext(): boolean {
    const { dedicated, first } = this.#owner.waiters
    if (dedicated === 0 || first === undefined || !isDedicated(first) || this.#supply.isBusy) return false
    return !this.#supply.getsPlace(this.#owner.waiters.oldestSinceMs)
  }

  /**
   * Opens connections for those in the queue, as far as limits allow and nobody is passed over. Returns how many of
   * those that take any server may have a new one now: all, or the ones in front of a dedicated one that lacks a place.
   */
  serve(): number {
    const { waiters } = this.#owner
    if (waiters.dedicated === 0) return waiters.length
    // A server that is closed in favour of somebody is for nobody else.
    if (this.#serving) return 0
    this.#serving = true
    try {
      return this.#serveInTurn()
    } finally {
      this.#serving = false
    }
  }

  /** A lessee gives up its connection, which is still being opened; true if it was. */
  cancel(lessee: Lessee): boolean {
    const abort = this.#opening.get(lessee)
    this.#opening.delete(lessee)
    abort?.abort(CLIENT_LEFT)
    return abort !== undefined
  }

  #serveInTurn(): number {
    const { waiters, tested, room } = this.#owner
    let others = 0
    for (const lessee of waiters) {
      if (!isDedicated(lessee)) {
        others += 1
        continue
      }
      const before = Math.min(others, room()) - tested()
      if (before > 0 && !this.#supply.serve(before, waiters.oldestSinceMs)) return others
      if (!this.#open(lessee)) return others
    }
    return others
  }

  /** False where there is no place for it. */
  #open(lessee: DedicatedLessee): boolean {
    const { waiters, open, retire } = this.#owner
    const supply = this.#supply
    const { oldestSinceMs } = waiters
    while (!supply.isBusy && !supply.hasPlace(oldestSinceMs) && !supply.getsPlace(oldestSinceMs)) {
      const [coldest] = this.#idle.coldestFirst
      if (coldest === undefined) break
      retire(coldest, NEEDED)
    }
    const abort = new AbortController()
    const opened = supply.openDedicated(
      (stopped) => open(AbortSignal.any([stopped, abort.signal]), lessee.startup),
      oldestSinceMs,
    )
    if (opened === null) return false
    waiters.cancel(lessee)
    this.#opening.set(lessee, abort)
    opened.then(
      (server) => this.#opened(lessee, server),
      (error: unknown) => this.#failed(lessee, error),
    )
    return true
  }

  #opened(lessee: DedicatedLessee, server: ServerConnection): void {
    const { waiters, retireReason, give, serveWaiters } = this.#owner
    const isWanted = this.#opening.delete(lessee)
    if (!isWanted) {
      server.close(CLIENT_LEFT)
      return
    }
    const reason = retireReason(server)
    if (reason === null) {
      give(server)
      lessee.onLease(server)
      return
    }
    server.close(new PoolerError(SqlState.AdminShutdown, reason))
    // Paused, or of an earlier generation: another attempt follows when it may.
    waiters.push(lessee, Date.now())
    serveWaiters()
  }

  /** The login failed, perhaps because of the client's own parameters: nobody else is to suffer for it. */
  #failed(lessee: DedicatedLessee, error: unknown): void {
    const { name, log, serveWaiters } = this.#owner
    if (this.#opening.delete(lessee)) {
      const failure =
        error instanceof PoolerError
          ? error
          : new PoolerError(SqlState.ConnectionFailure, String(error), { cause: error })
      log.warn(
        { pool: name, sqlState: failure.sqlState, reason: failure.message },
        'replication connection to the server failed',
      )
      lessee.onLeaseRefused(failure)
    }
    serveWaiters()
  }
}
