import type { Logger } from '../log.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { IdleServerHandler } from './idle-server-handler.ts'
import { logOpened } from './log-connections.ts'
import type { PoolGeneration } from './pool-generation.ts'
import type { PoolMetrics } from './pool-metrics.ts'

interface AdmittingPool {
  readonly database: string
  readonly user: string
  readonly generation: PoolGeneration
  readonly metrics: PoolMetrics | null
}

/**
 * A server that is being opened, once it can be used: timed, logged, and marked with the generation of the pool in which
 * that began. `isShared`: not for one client alone. Rejects as `opening` does, or if the server is not fit for use.
 */
export async function admitServer(
  pool: AdmittingPool,
  opening: Promise<ServerConnection>,
  handler: IdleServerHandler,
  isShared: boolean,
  log: Logger,
): Promise<ServerConnection> {
  const generation = pool.generation.number
  const server = await (pool.metrics?.connecting(opening) ?? opening)
  pool.generation.opened(server, generation, isShared)
  logOpened(log, pool, server)
  await handler.admit(server, isShared)
  return server
}
