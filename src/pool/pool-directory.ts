import type { ServerPool } from './server-pool.ts'

/** PoolDirectory: every ServerPool by (database, user); a pool is created for its first client. */
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

  [Symbol.iterator](): Iterator<ServerPool> {
    return this.#pools.values()
  }
}
