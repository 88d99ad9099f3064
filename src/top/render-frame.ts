import type { Row } from './console-connection.ts'
import type { Snapshot } from './snapshot.ts'

/** renderFrame: two snapshots -> the lines of one picture. Called by run-top.ts; pure. */

export type SortKey = 'waiting' | 'queries' | 'name'

export interface FrameOptions {
  /** Lines and columns that there is room for; Infinity outside of a terminal. */
  readonly rows: number
  readonly columns: number
  readonly sort: SortKey
}

type Cells = readonly string[]

const POOLS: Cells = ['DATABASE', 'USER', 'ACTIVE', 'WAITING', 'SV_ACTIVE', 'SV_IDLE', 'SV_LOGIN', 'MAXWAIT']
const RATES: Cells = ['DATABASE', 'XACT/S', 'QUERY/S', 'IN/S', 'OUT/S', 'XACT_MS', 'QUERY_MS', 'WAIT_MS']
const WAITERS: Cells = ['WAITS', 'DATABASE', 'USER', 'APPLICATION', 'ADDRESS', 'ID']
const ERRORS: Cells = ['COUNT', 'SQLSTATE', 'MESSAGE']
const MAX_WAITERS = 10
const MAX_ERRORS = 5
const MICROSECONDS = 1_000_000

/** `before` is the snapshot a period earlier; without it there are no rates yet. */
export function renderFrame(now: Snapshot, before: Snapshot | undefined, options: FrameOptions): string[] {
  const rates = new Map(now.totals.map((row) => [row.database, ratesOf(row, now, before)]))
  const lines = [
    headline(now),
    '',
    ...table(POOLS, 2, [...now.pools].sort(order(options.sort, rates)).map(poolCells)),
    '',
    ...table(
      RATES,
      1,
      [...now.totals].sort(order(options.sort, rates)).map((row) => rateCells(row, rates)),
    ),
  ]
  if (now.waiters.length > 0)
    lines.push('', ...table(WAITERS, 0, now.waiters.slice(0, MAX_WAITERS).map(waiterCells)))
  if (now.errors.length > 0)
    lines.push('', ...table(ERRORS, 0, now.errors.slice(0, MAX_ERRORS).map(errorCells)))
  return lines.slice(0, options.rows).map((line) => line.slice(0, options.columns).trimEnd())
}

function headline({ version, state, pools }: Snapshot): string {
  const is = (key: string): boolean => state.some((row) => row.key === key && row.value === 'yes')
  const sum = (column: string): number => pools.reduce((total, row) => total + number(row, column), 0)
  const how = is('suspended') ? 'SUSPENDED' : is('paused') ? 'PAUSED' : 'active'
  return [
    `${version}: ${how}`,
    `${pools.length} pools`,
    `clients ${sum('cl_active')} active, ${sum('cl_waiting')} waiting`,
    `servers ${sum('sv_active')} active, ${sum('sv_idle')} idle`,
  ].join(' | ')
}

interface Rates {
  readonly queries: number
  readonly cells: Cells
}

function ratesOf(row: Row, now: Snapshot, before: Snapshot | undefined): Rates {
  const earlier = before?.totals.find(({ database }) => database === row.database)
  if (before === undefined || earlier === undefined)
    return { queries: 0, cells: RATES.slice(1).map(() => '-') }
  const seconds = Math.max((now.atMs - before.atMs) / 1000, Number.EPSILON)
  const grown = (column: string): number => Math.max(number(row, column) - number(earlier, column), 0)
  const perSecond = (column: string): number => grown(column) / seconds
  /** Milliseconds for each of `count`. */
  const mean = (column: string, count: string): string =>
    grown(count) === 0 ? '-' : (grown(column) / 1000 / grown(count)).toFixed(1)
  const queries = perSecond('query_count')
  return {
    queries,
    cells: [
      perSecond('xact_count').toFixed(0),
      queries.toFixed(0),
      size(perSecond('bytes_received')),
      size(perSecond('bytes_sent')),
      mean('xact_time', 'xact_count'),
      mean('query_time', 'query_count'),
      mean('wait_time', 'server_assignment_count'),
    ],
  }
}

function order(key: SortKey, rates: ReadonlyMap<string | undefined, Rates>) {
  const wait = (row: Row): number => number(row, 'maxwait') * MICROSECONDS + number(row, 'maxwait_us')
  const queries = (row: Row): number => rates.get(row.database)?.queries ?? 0
  return (one: Row, other: Row): number => {
    if (key === 'waiting') {
      const difference = number(other, 'cl_waiting') - number(one, 'cl_waiting') || wait(other) - wait(one)
      if (difference !== 0) return difference
    }
    if (key === 'queries' && queries(one) !== queries(other)) return queries(other) - queries(one)
    return name(one) < name(other) ? -1 : 1
  }
}

function poolCells(row: Row): Cells {
  const { database = '', user = '', cl_active, cl_waiting, sv_active, sv_idle, sv_login } = row
  const waitMs = number(row, 'maxwait') * 1000 + number(row, 'maxwait_us') / 1000
  const counts = [cl_active, cl_waiting, sv_active, sv_idle, sv_login]
  return [printable(database), printable(user), ...counts.map((count) => count ?? ''), duration(waitMs)]
}

function rateCells(row: Row, rates: ReadonlyMap<string | undefined, Rates>): Cells {
  return [printable(row.database ?? ''), ...(rates.get(row.database)?.cells ?? [])]
}

function waiterCells(row: Row): Cells {
  const texts = [row.database, row.user, row.application_name, row.addr, row.id]
  return [duration(number(row, 'wait_ms')), ...texts.map((text) => printable(text ?? ''))]
}

function errorCells({ count = '', sqlstate = '', message = '' }: Row): Cells {
  return [count, sqlstate, printable(message)]
}

/** The first `names` columns are aligned to the left, the others, if there are names at all, to the right. */
function table(head: Cells, names: number, rows: readonly Cells[]): string[] {
  const all = [head, ...rows]
  const widths = head.map((_, at) => Math.max(...all.map((cells) => cells[at]?.length ?? 0)))
  return all.map((cells) =>
    cells
      .map((cell, at) =>
        names === 0 || at < names ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

/** Names come from clients: none of their characters may move the cursor. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?')
}

function number(row: Row, column: string): number {
  return Number(row[column] ?? 0)
}

function name({ database = '', user = '' }: Row): string {
  return `${database}\0${user}`
}

function duration(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)}s` : `${ms.toFixed(0)}ms`
}

function size(bytes: number): string {
  if (bytes < 1000) return bytes.toFixed(0)
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)}k` : `${(bytes / 1_000_000).toFixed(1)}M`
}
