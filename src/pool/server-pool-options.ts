import type { PoolPolicy } from '../config/pool-policy.ts'
import type { Logger } from '../log.ts'
import type { StartupParameters } from '../server/lessee.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { ConnectionBudget } from './connection-budget.ts'

/** What makes a pool. */
export interface ServerPoolOptions {
  readonly database: string
  /** Who the pooler logs in as at the server. */
  readonly user: string
  readonly policy: PoolPolicy
  readonly budget: ConnectionBudget
  /** With the parameters of a client, where it is for that one alone. */
  readonly open: (signal: AbortSignal, startup?: StartupParameters) => Promise<ServerConnection>
  readonly log: Logger
}
