import { PoolerError, SqlState } from '../errors.ts'
import type { ServerPool } from './server-pool.ts'

/** PoolDirectory: every ServerPool by (database, user); a pool is created for its first client and forgotten some
 * time after its last. */
export class PoolDirectory {
  readonly #create: (database: string, user: string) => ServerPool
  readonly #pools = new Map<string, ServerPool>()

  constructor(create: (database: string, user: string) => ServerPool) {
    this.#create = create
  }

  get(database: string, user: string): ServerPool {
    const key = JSON.stringify([database, user])
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      pool = this.#create(database, user)
      this.#pools.set(key, pool)
    }
    return pool
  }

  /** Called by the janitor: forgets the pools that nobody uses. */
  tick(nowMs: number): void {
    for (const [key, pool] of this.#pools) {
      pool.tick(nowMs)
      if (!pool.isForgettable) continue
      this.#pools.delete(key)
      void pool.stop(new PoolerError(SqlState.AdminShutdown, 'pool is not used any more'))
    }
  }

  [Symbol.iterator](): Iterator<ServerPool> {
    return this.#pools.values()
  }
}
