import { type DatabaseConfig, findDatabase } from '../../config/config.ts'
import { poolSize, unlimited } from '../../config/pool-policy.ts'
import type { Value } from '../../protocol/result-set.ts'
import type { AdminContext } from '../admin-context.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW DATABASES: those of the configuration, those that clients have asked for through "*", and the console. */
export const showDatabases: ShowCommand = {
  name: 'DATABASES',
  access: 'stats',
  columns: columnsOf(
    `name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i, reserve_pool_size i,
     server_lifetime i, pool_mode s, load_balance_hosts s, max_connections i, current_connections i,
     max_client_connections i, current_client_connections i, paused i, disabled i`,
  ),
  rows(context) {
    const { config, pools, consoles } = context
    const names = new Set([...config().databases.keys(), ...[...pools].map(({ database }) => database)])
    const rows = [...names].sort().flatMap((name) => {
      const database = findDatabase(config(), name)
      return database === undefined ? [] : [rowOf(context, database)]
    })
    const port = config().pooler.listen_port
    const clients = [...consoles].length
    const console: Value[] = [
      'pgbouncer',
      null,
      port,
      'pgbouncer',
      'pgbouncer',
      2,
      0,
      0,
      0,
      'statement',
      null,
    ]
    return [...rows, [...console, 0, 0, 0, clients, 0, 0]]
  },
}

function rowOf({ config, pools }: AdminContext, database: DatabaseConfig): Value[] {
  const { pooler } = config()
  const { name } = database
  const servers = pools.of(name).reduce((sum, pool) => sum + pool.size, 0)
  const clients = pools.of(name).reduce((sum, pool) => sum + pool.clients.count, 0)
  const limit = (own: number | undefined, general: number): number => {
    const value = unlimited(own ?? general)
    return Number.isFinite(value) ? value : 0
  }
  return [
    name,
    database.host.join(','),
    database.port,
    database.dbname,
    database.user ?? null,
    poolSize(database.pool_size, pooler),
    database.min_pool_size ?? pooler.min_pool_size,
    database.reserve_pool_size ?? pooler.reserve_pool_size,
    Math.round((database.server_lifetime ?? pooler.server_lifetime) / 1000),
    database.pool_mode ?? null,
    database.host.length > 1 ? database.load_balance_hosts : null,
    limit(database.max_db_connections, pooler.max_db_connections),
    servers,
    limit(database.max_db_client_connections, pooler.max_db_client_connections),
    clients,
    pools.isPaused(name) ? 1 : 0,
    pools.isDisabled(name) ? 1 : 0,
  ]
}
