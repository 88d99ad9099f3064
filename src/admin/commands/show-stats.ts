import { COUNTERS, type Counter } from '../../metrics/stats-book.ts'
import type { Column, Value } from '../../protocol/result-set.ts'
import type { AdminContext } from '../admin-context.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** PgBouncer's names of the counters: in SHOW STATS_TOTALS, behind `avg_`, and in SHOW TOTALS. */
const NAMES: Readonly<Record<Counter, readonly [plain: string, average: string, totals: string]>> = {
  serverAssignments: ['server_assignment_count', 'server_assignment_count', 'server_assignment_count'],
  transactions: ['xact_count', 'xact_count', 'xact_count'],
  queries: ['query_count', 'query_count', 'query_count'],
  received: ['bytes_received', 'recv', 'client_bytes'],
  sent: ['bytes_sent', 'sent', 'server_bytes'],
  transactionMicros: ['xact_time', 'xact_time', 'xact_time'],
  queryMicros: ['query_time', 'query_time', 'query_time'],
  waitMicros: ['wait_time', 'wait_time', 'wait_time'],
  clientParses: ['client_parse_count', 'client_parse_count', 'ps_client_parse_count'],
  serverParses: ['server_parse_count', 'server_parse_count', 'ps_server_parse_count'],
  binds: ['bind_count', 'bind_count', 'ps_bind_count'],
  clientLogins: ['client_login_count', 'client_login_count', 'client_login_count'],
}
/** In SHOW STATS these are total_received and total_sent. */
const SHORT: Readonly<Partial<Record<Counter, string>>> = { received: 'received', sent: 'sent' }

const names = (prefix: string, name: (counter: Counter) => string): readonly Column[] =>
  columnsOf(COUNTERS.map((counter) => `${prefix}${name(counter)} n`).join(','))
const totalNames = names('total_', (counter) => SHORT[counter] ?? NAMES[counter][0])
const averageNames = names('avg_', (counter) => NAMES[counter][1])

/** SHOW STATS: totals and averages by database. */
export const showStats: ShowCommand = {
  name: 'STATS',
  access: 'stats',
  columns: [...columnsOf('database s'), ...totalNames, ...averageNames],
  rows: (context) =>
    databases(context).map((database) => [
      database,
      ...totals(context, database),
      ...averages(context, database),
    ]),
}

export const showStatsTotals: ShowCommand = {
  name: 'STATS_TOTALS',
  access: 'stats',
  columns: [...columnsOf('database s'), ...names('', (counter) => NAMES[counter][0])],
  rows: (context) => databases(context).map((database) => [database, ...totals(context, database)]),
}

export const showStatsAverages: ShowCommand = {
  name: 'STATS_AVERAGES',
  access: 'stats',
  // The first ones carry no prefix: that is how PgBouncer has it.
  columns: [
    ...columnsOf('database s'),
    ...names('', (counter) => NAMES[counter][0]).slice(0, 8),
    ...averageNames.slice(8),
  ],
  rows: (context) => databases(context).map((database) => [database, ...averages(context, database)]),
}

/** SHOW TOTALS: the sums over all databases, a row each. */
export const showTotals: ShowCommand = {
  name: 'TOTALS',
  access: 'stats',
  columns: columnsOf('name s, value n'),
  rows(context) {
    const sum = (of: (database: string) => number[]): number[] =>
      databases(context)
        .map(of)
        .reduce(
          (sums, row) => sums.map((value, index) => value + (row[index] ?? 0)),
          COUNTERS.map(() => 0),
        )
    const rowsOf = (prefix: string, values: readonly number[]): Value[][] =>
      COUNTERS.map((counter, index) => [`${prefix}${NAMES[counter][2]}`, values[index] ?? 0])
    return [
      ...rowsOf(
        'total_',
        sum((database) => totals(context, database)),
      ),
      ...rowsOf(
        'avg_',
        sum((database) => averages(context, database)),
      ),
    ]
  },
}

/** Each with a client so far, and the console, where nothing is counted. */
function databases({ stats }: AdminContext): string[] {
  return [...[...stats.totals().keys()].sort(), 'pgbouncer']
}

function totals({ stats }: AdminContext, database: string): number[] {
  const counters = stats.totals().get(database)
  return COUNTERS.map((counter) => counters?.[counter] ?? 0)
}

function averages({ stats }: AdminContext, database: string): number[] {
  const counters = stats.averages(database)
  return COUNTERS.map((counter) => counters[counter])
}
