import type { PoolPolicy } from '../config/pool-policy.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { AutoSize } from './auto-size.ts'

/**
 * ActiveServers: the servers of one pool that are leased, and how many more may be. Without `pool_size = "auto"` any
 * server there is may be leased. Owned by a ServerPool.
 */
export class ActiveServers {
  readonly #servers = new Set<ServerConnection>()
  readonly #dedicated: ReadonlySet<ServerConnection>
  #policy: PoolPolicy
  /** Null without "auto". */
  auto: AutoSize | null = null

  /** `dedicated`: servers for one client each, which are not counted. */
  constructor(policy: PoolPolicy, dedicated: ReadonlySet<ServerConnection>) {
    this.#policy = policy
    this.#dedicated = dedicated
    this.configure(policy)
  }

  get size(): number {
    return this.#servers.size
  }

  /** How many may be leased in addition to those that are; Infinity where nothing but their number limits that. */
  get room(): number {
    // At the limit of the pool its own rules hold, those of the reserve as well.
    if (this.auto === null || this.auto.limit >= this.#policy.size) return Number.POSITIVE_INFINITY
    return Math.max(0, this.auto.limit - this.#shared)
  }

  add(server: ServerConnection): void {
    this.#servers.add(server)
  }

  /** A server is closed. */
  remove(server: ServerConnection): void {
    this.#servers.delete(server)
  }

  /** A client has given a server back; true if more may be leased than before. */
  release(server: ServerConnection): boolean {
    if (!this.#servers.delete(server) || this.auto === null) return false
    return this.auto.leaseEnded(this.#shared)
  }

  /** Called by the janitor. `works`: there are servers, and they may be leased; `waiting`: somebody waits for one. */
  tick(works: boolean, waiting: boolean): void {
    if (works) this.auto?.tick(waiting, this.#shared)
    else this.auto?.skip()
  }

  configure(policy: PoolPolicy): void {
    this.#policy = policy
    if (!policy.autoSize) this.auto = null
    else if (this.auto === null) this.auto = new AutoSize(policy.size)
    else this.auto.max = policy.size
  }

  get #shared(): number {
    return this.#servers.size - this.#dedicated.size
  }
}
