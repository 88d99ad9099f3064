import { PoolerError, SqlState } from '../errors.ts'
import { DatabaseStats } from './database-stats.ts'
import type { PoolMetricsBook } from './pool-metrics.ts'
import type { ServerPool } from './server-pool.ts'

/** A pool whose servers clients have used is kept for so long: they come back, perhaps while PostgreSQL is down. */
const KEEP_MS = 600_000

/**
 * PoolDirectory: every ServerPool by (database, user), and which databases are paused or disabled, whether they
 * have a pool or not. A pool is created for its first client and forgotten some time after its last.
 */
export class PoolDirectory {
  readonly #create: (database: string, user: string) => ServerPool
  readonly #pools = new Map<string, ServerPool>()
  /** Pools that new clients do not get any more: they end with their last client. */
  readonly #retired = new Set<ServerPool>()
  readonly #disabled = new Set<string>()
  readonly #paused = new Set<string>()
  readonly #metrics: PoolMetricsBook | null
  #allPaused = false
  /** By database, for ever: counters never go back, whatever becomes of pools. */
  readonly #stats = new Map<string, DatabaseStats>()

  /** `metrics`: null where nobody reads them. */
  constructor(
    create: (database: string, user: string) => ServerPool,
    metrics: PoolMetricsBook | null = null,
  ) {
    this.#create = create
    this.#metrics = metrics
  }

  /** `user` is the one at the server: that of the database, if it forces one, else the client's. */
  get(database: string, user: string): ServerPool {
    const key = keyOf(database, user)
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      pool = this.#create(database, user)
      pool.stats = this.#statsOf(database)
      pool.metrics = this.#metrics?.of(database, user) ?? null
      if (this.isPaused(database)) pool.pause()
      this.#pools.set(key, pool)
    }
    return pool
  }

  /** What has been done in each database that ever had a pool. */
  get stats(): ReadonlyMap<string, DatabaseStats> {
    return this.#stats
  }

  /** The pools of one database, or all. */
  of(database: string | undefined): ServerPool[] {
    return [...this].filter((pool) => database === undefined || pool.database === database)
  }

  /** New clients get a new pool of this name, because what this one does can not be changed while it has clients. */
  retire(pool: ServerPool): void {
    const key = keyOf(pool.database, pool.user)
    if (this.#pools.get(key) === pool) this.#pools.delete(key)
    this.#retired.add(pool)
  }

  isPaused(database: string): boolean {
    return this.#allPaused || this.#paused.has(database)
  }

  /** All databases are paused. */
  get allPaused(): boolean {
    return this.#allPaused
  }

  get somePaused(): boolean {
    return this.#allPaused || this.#paused.size > 0
  }

  pause(database: string | undefined): void {
    if (database === undefined) this.#allPaused = true
    else this.#paused.add(database)
    for (const pool of this.of(database)) pool.pause()
  }

  /** Without a name, databases that were paused one by one go on, too. */
  resume(database: string | undefined): void {
    if (database === undefined) {
      this.#allPaused = false
      this.#paused.clear()
    } else this.#paused.delete(database)
    for (const pool of this.of(database)) if (!this.isPaused(pool.database)) pool.resume()
  }

  isDisabled(database: string): boolean {
    return this.#disabled.has(database)
  }

  /** A disabled database takes no new clients. */
  setDisabled(database: string, disabled: boolean): void {
    if (disabled) this.#disabled.add(database)
    else this.#disabled.delete(database)
  }

  /** Called by the janitor: forgets the pools that nobody uses. */
  tick(nowMs: number): void {
    for (const pool of this) {
      pool.tick(nowMs)
      const isRetired = this.#retired.has(pool)
      if (isRetired ? pool.clients.count > 0 : !isForgettable(pool) || this.#isKept(pool, nowMs)) continue
      this.#retired.delete(pool)
      if (!isRetired) this.#pools.delete(keyOf(pool.database, pool.user))
      void pool.stop(new PoolerError(SqlState.AdminShutdown, 'pool is not used any more'))
    }
  }

  #statsOf(database: string): DatabaseStats {
    let stats = this.#stats.get(database)
    if (stats === undefined) {
      stats = new DatabaseStats()
      this.#stats.set(database, stats)
    }
    return stats
  }

  /** Whoever makes up names for "*" has no pool that was ever of use. */
  #isKept(pool: ServerPool, nowMs: number): boolean {
    return pool.generation.welcome !== null && nowMs - pool.clients.usedAtMs < KEEP_MS
  }

  *[Symbol.iterator](): Generator<ServerPool> {
    yield* this.#pools.values()
    yield* this.#retired
  }
}

/** Nobody would miss it. */
function isForgettable({ clients, waiting, supply, policy }: ServerPool): boolean {
  return clients.count === 0 && waiting === 0 && supply.isEmpty && policy.minSize === 0
}

function keyOf(database: string, user: string): string {
  return JSON.stringify([database, user])
}
