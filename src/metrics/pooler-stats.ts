import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'

/** Counts for operators and tests. */
export interface PoolerStats {
  readonly clients: number
  /** Statements in the registry. */
  readonly statements: number
  /** Those of them that are kept for unnamed ones, whether a client has them or not (prepare_unnamed). */
  readonly promotedStatements: number
  /** Unnamed Parse messages that no server was sent (prepare_unnamed). */
  readonly unnamedReuses: number
  /** Clients that were refused because the process has too few file descriptors. */
  readonly refusedForDescriptors: number
  readonly pools: readonly PoolStats[]
}

export interface PoolStats {
  readonly database: string
  readonly user: string
  /** Server connections that exist, and those of them that are leased. */
  readonly servers: number
  readonly active: number
  /** Clients in the queue. */
  readonly waiting: number
}

/** What a pooler has at this moment. `multiplexer` is undefined before its start. */
export function poolerStats(
  pools: PoolDirectory,
  registry: StatementRegistry,
  multiplexer: Multiplexer | undefined,
  refusedForDescriptors: number,
): PoolerStats {
  return {
    clients: multiplexer?.clientCount ?? 0,
    statements: registry.size,
    promotedStatements: registry.promoted.size,
    unnamedReuses: registry.promoted.reuses,
    refusedForDescriptors,
    pools: [...pools].map((pool) => ({
      database: pool.database,
      user: pool.user,
      servers: pool.size,
      active: pool.activeCount,
      waiting: pool.waiting,
    })),
  }
}
