import type { PoolPolicy } from '../config/pool-policy.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import type { DedicatedServers } from './dedicated-servers.ts'
import type { PoolGeneration } from './pool-generation.ts'
import { usedUpReason } from './server-age.ts'

/** What decides whether a pool can do with a server. */
interface RetiringPool extends BudgetMember {
  /** Connections that exist. */
  readonly size: number
  readonly waiting: number
  readonly paused: boolean
  readonly stopping: boolean
  readonly policy: PoolPolicy
  readonly generation: PoolGeneration
}

export const PLACE_NEEDED = 'another pool needs its place'

/** RetireReasons: why a server is closed instead of leased or kept; null = it is not. Owned by a ServerPool. */
export class RetireReasons {
  readonly #pool: RetiringPool
  readonly #budget: ConnectionBudget
  readonly #dedicated: DedicatedServers

  constructor(pool: RetiringPool, budget: ConnectionBudget, dedicated: DedicatedServers) {
    this.#pool = pool
    this.#budget = budget
    this.#dedicated = dedicated
  }

  /** It must not be leased any more. */
  of(server: ServerConnection): string | null {
    const { paused, stopping, generation, policy } = this.#pool
    if (paused) return 'pause'
    if (stopping) return 'pooler is shutting down'
    return generation.retireReason(server) ?? usedUpReason(server, policy, Date.now())
  }

  /** Nobody uses it, and a reload has made a limit smaller, or the reserve is not needed any more. */
  ofIdle(): string | null {
    const { size, reserveSize } = this.#pool.policy
    if (this.#pool.size > size + (this.#pool.waiting > 0 ? reserveSize : 0))
      return 'more connections than pool_size'
    return this.#budget.exceeded(this.#pool) ? 'more connections than a shared limit' : null
  }

  /** It has come back, or is new, and somebody else may need its place more than this pool. */
  ofOffered(server: ServerConnection): string | null {
    const reason = this.of(server) ?? this.ofIdle()
    if (reason !== null) return reason
    if (this.#budget.contended && this.#budget.claim(this.#pool, server, Date.now())) return PLACE_NEEDED
    return this.#dedicated.claimsNext ? 'a replication connection needs its place' : null
  }
}
