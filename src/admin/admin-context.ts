import type { ClientConnection } from '../client/client-connection.ts'
import type { Config } from '../config/config.ts'
import type { PoolerControl } from '../control/pooler-control.ts'
import type { Logger } from '../log.ts'
import type { StatsBook } from '../metrics/stats-book.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'

/** What the commands of the console see of the pooler. */
export interface AdminContext {
  readonly config: () => Config
  readonly control: PoolerControl
  readonly pools: PoolDirectory
  readonly multiplexer: Multiplexer
  readonly registry: StatementRegistry
  readonly dns: Iterable<{
    readonly name: string
    readonly ttlMs: number
    readonly addresses: readonly string[]
  }>
  /** Everybody who is connected to the console. */
  readonly consoles: Iterable<{ readonly client: ClientConnection }>
  readonly stats: StatsBook
  readonly log: Logger
}
