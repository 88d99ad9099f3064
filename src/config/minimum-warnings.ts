import type { Config, DatabaseConfig } from './config.ts'
import { poolPolicy } from './pool-policy.ts'

/** The minimum of one pool that is known before it has a client. */
interface Minimum {
  readonly database: string
  readonly user: string
  readonly size: number
  readonly maxDatabaseConnections: number
  readonly maxUserConnections: number
}

/**
 * Where does min_pool_size ask for more connections than the pools of one database or user may have together? One line
 * of text for each; asked at start, on reload, and by --check. Only pools whose user is known count: the one that
 * the database forces, else those of [users].
 */
export function minimumWarnings(config: Config): string[] {
  const pools = [...config.databases.values()].flatMap((database) => minimumsOf(config, database))
  return [
    ...exceeded(
      pools,
      'database',
      'max_db_connections',
      ({ maxDatabaseConnections }) => maxDatabaseConnections,
    ),
    ...exceeded(pools, 'user', 'max_user_connections', ({ maxUserConnections }) => maxUserConnections),
  ]
}

function minimumsOf(config: Config, database: DatabaseConfig): Minimum[] {
  const users = database.user === undefined ? [...config.users.keys()] : [database.user]
  return users.map((user) => {
    const { minSize, maxDatabaseConnections, maxUserConnections } = poolPolicy(config, database, user)
    return { database: database.name, user, size: minSize, maxDatabaseConnections, maxUserConnections }
  })
}

function exceeded(
  pools: readonly Minimum[],
  by: 'database' | 'user',
  setting: string,
  limitOf: (pool: Minimum) => number,
): string[] {
  const lines: string[] = []
  for (const name of new Set(pools.map((pool) => pool[by]))) {
    const own = pools.filter((pool) => pool[by] === name)
    const sum = own.reduce((total, { size }) => total + size, 0)
    const limit = Math.min(...own.map(limitOf))
    if (sum <= limit) continue
    lines.push(
      `${by} "${name}": min_pool_size of its pools adds up to ${sum}, but ${setting} is ${limit}: ` +
        'not all of them can be kept at their minimum',
    )
  }
  return lines
}
