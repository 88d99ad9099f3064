import type { PoolPolicy } from '../config/pool-policy.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'

/** What decides whether a pool has a server too many. */
interface SizedPool extends BudgetMember {
  /** Connections that exist. */
  readonly size: number
  readonly waiting: number
  readonly policy: PoolPolicy
}

/**
 * Why a server is closed that nobody uses at the moment: a reload has made a limit smaller, or the reserve is not
 * needed any more. Null = it may stay.
 */
export function surplusReason(pool: SizedPool, budget: ConnectionBudget): string | null {
  const { size, reserveSize } = pool.policy
  if (pool.size > size + (pool.waiting > 0 ? reserveSize : 0)) return 'more connections than pool_size'
  return budget.exceeded(pool) ? 'more connections than a shared limit' : null
}
