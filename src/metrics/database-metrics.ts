import { findDatabase } from '../config/config.ts'
import { poolSize, unlimited } from '../config/pool-policy.ts'
import { OTHER } from '../net/bounded-counts.ts'
import type { MetricSources, NumberMetric } from './metric.ts'
import { outageOf } from './readiness.ts'
import type { Counter } from './stats-book.ts'

const MICROS_PER_SECOND = 1e6

/** SHOW STATS: the counters of each database. */
const COUNTED: readonly (readonly [string, Counter, string])[] = [
  ['sql_transactions_pooled_total', 'transactions', 'Transactions of clients; a pipeline counts as one.'],
  ['queries_pooled_total', 'queries', 'Queries of clients; a pipeline counts as one.'],
  ['received_bytes_total', 'received', 'Bytes received from clients that have logged in.'],
  ['sent_bytes_total', 'sent', 'Bytes sent to clients that have logged in.'],
  ['server_in_transaction_seconds_total', 'transactionMicros', 'Time spent in transactions.'],
  ['queries_duration_seconds_total', 'queryMicros', 'Time spent waiting for answers of servers.'],
  ['client_wait_seconds_total', 'waitMicros', 'Time that clients spent waiting for a server.'],
  ['server_assignments_total', 'serverAssignments', 'How often a client got a server.'],
  ['client_parses_total', 'clientParses', 'Parse messages of clients.'],
  ['server_parses_total', 'serverParses', 'Parse messages that were sent to servers.'],
  ['binds_total', 'binds', 'Bind messages of clients.'],
  ['client_logins_total', 'clientLogins', 'Logins of clients that succeeded.'],
]

function counted([name, counter, help]: (typeof COUNTED)[number]): NumberMetric {
  const isTime = counter.endsWith('Micros')
  return {
    name: `pooler_stats_${name}`,
    type: 'counter',
    help: `${help} (SHOW STATS)`,
    labels: ['database'],
    *samples(sources) {
      const { max } = sources.poolMetrics
      let others = 0
      let index = 0
      for (const [database, totals] of sources.stats.totals()) {
        const value = isTime ? totals[counter] / MICROS_PER_SECOND : totals[counter]
        if (index < max) yield [[database], value]
        else others += value
        index += 1
      }
      if (index > max) yield [[OTHER], others]
    },
  }
}

type DatabaseValue = (sources: MetricSources, database: string) => number

function gauge(name: string, help: string, value: DatabaseValue): NumberMetric {
  return {
    name: `pooler_databases_${name}`,
    type: 'gauge',
    help,
    labels: ['database'],
    *samples(sources) {
      for (const database of databases(sources)) yield [[database], value(sources, database)]
    },
  }
}

/** Those with a section of their own, and as many of the others as have series of their own. */
function databases({ config, pools, poolMetrics }: MetricSources): Set<string> {
  const names = new Set(config().databases.keys())
  const max = Math.max(names.size, poolMetrics.max)
  for (const { database } of pools) if (names.size < max) names.add(database)
  return names
}

/** A limit as it holds; +Inf = none. */
function limit(
  name: 'max_db_connections' | 'max_db_client_connections',
): (sources: MetricSources, database: string) => number {
  return ({ config }, database) =>
    unlimited(findDatabase(config(), database)?.[name] ?? config().pooler[name])
}

const sumOf = (
  { pools }: MetricSources,
  database: string,
  value: (pool: { size: number; clients: { count: number } }) => number,
): number => pools.of(database).reduce((sum, pool) => sum + value(pool), 0)

export const databaseMetrics: readonly NumberMetric[] = [
  ...COUNTED.map(counted),
  gauge('paused', '1 while the database is paused.', ({ pools }, name) => Number(pools.isPaused(name))),
  gauge('disabled', '1 while nobody may log in to the database.', ({ pools }, name) =>
    Number(pools.isDisabled(name)),
  ),
  gauge('up', '0 while no server of the database answers.', ({ pools }, name) =>
    outageOf(pools, name, Date.now()) === null ? 1 : 0,
  ),
  gauge('current_connections', 'Server connections of the database.', (sources, name) =>
    sumOf(sources, name, ({ size }) => size),
  ),
  gauge('current_client_connections', 'Clients that are logged in to the database.', (sources, name) =>
    sumOf(sources, name, ({ clients }) => clients.count),
  ),
  gauge(
    'max_connections',
    'max_db_connections of the database; +Inf = no limit.',
    limit('max_db_connections'),
  ),
  gauge(
    'max_client_connections',
    'max_db_client_connections of the database; +Inf = no limit.',
    limit('max_db_client_connections'),
  ),
  gauge('pool_size', 'pool_size of the database.', ({ config }, name) => {
    return unlimited(poolSize(findDatabase(config(), name)?.pool_size, config().pooler))
  }),
]
