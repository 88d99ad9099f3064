import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import { DatabaseStats } from '../pool/database-stats.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'

/** The counters, in the order of PgBouncer's columns. */
export const COUNTERS = [
  'serverAssignments',
  'transactions',
  'queries',
  'received',
  'sent',
  'transactionMicros',
  'queryMicros',
  'waitMicros',
  'clientParses',
  'serverParses',
  'binds',
  'clientLogins',
] as const satisfies (keyof DatabaseStats)[]
export type Counter = (typeof COUNTERS)[number]

type Totals = Readonly<Record<Counter, number>>

interface Snapshot {
  readonly atMs: number
  readonly totals: ReadonlyMap<string, Totals>
}

/**
 * StatsBook: totals by database, and averages over the last whole stats_period. It owns two snapshots; the counters
 * themselves belong to the PoolDirectory.
 */
export class StatsBook {
  readonly #pools: PoolDirectory
  readonly #multiplexer: Multiplexer
  readonly #periodMs: () => number
  #older: Snapshot
  #newer: Snapshot

  constructor(pools: PoolDirectory, multiplexer: Multiplexer, periodMs: () => number) {
    this.#pools = pools
    this.#multiplexer = multiplexer
    this.#periodMs = periodMs
    this.#older = this.#newer = { atMs: Date.now(), totals: new Map() }
  }

  /** Called by the janitor; true when a period has just ended. */
  tick(nowMs: number): boolean {
    if (nowMs - this.#newer.atMs < this.#periodMs()) return false
    this.#older = this.#newer
    this.#newer = { atMs: nowMs, totals: this.totals() }
    return true
  }

  /** Since the start, by database. */
  totals(): ReadonlyMap<string, Totals> {
    const totals = new Map<string, DatabaseStats>()
    for (const [database, stats] of this.#pools.stats)
      totals.set(database, Object.assign(new DatabaseStats(), stats))
    for (const { client, pool } of this.#multiplexer.sessions) {
      const stats = totals.get(pool.database)
      if (stats === undefined) continue
      stats.received += client.wire.bytesReceived
      stats.sent += client.wire.bytesSent
    }
    for (const pool of this.#pools) {
      const stats = totals.get(pool.database)
      if (stats !== undefined)
        for (const { tracker } of pool.supply.servers) stats.serverParses += tracker.parses
    }
    return totals
  }

  /** The last period in one line, with PgBouncer's words. */
  get line(): string {
    const sums = Object.fromEntries(COUNTERS.map((counter) => [counter, 0])) as Record<Counter, number>
    for (const database of this.#newer.totals.keys()) {
      const averages = this.averages(database)
      for (const counter of COUNTERS) sums[counter] += averages[counter]
    }
    return (
      `stats: ${sums.transactions} xacts/s, ${sums.queries} queries/s, ${sums.clientParses} client parses/s, ` +
      `${sums.serverParses} server parses/s, ${sums.binds} binds/s, in ${sums.received} B/s, out ${sums.sent} B/s, ` +
      `xact ${sums.transactionMicros} us, query ${sums.queryMicros} us, wait ${sums.waitMicros} us`
    )
  }

  /** Over the last period: counts and bytes per second, times per transaction or query; waiting per second. */
  averages(database: string): Totals {
    const now = this.#newer.totals.get(database)
    const before = this.#older.totals.get(database)
    const seconds = (this.#newer.atMs - this.#older.atMs) / 1000
    const change = (counter: Counter): number => (now?.[counter] ?? 0) - (before?.[counter] ?? 0)
    const per = (amount: number, divisor: number): number => (divisor > 0 ? Math.round(amount / divisor) : 0)
    const averages = Object.fromEntries(
      COUNTERS.map((counter) => [counter, per(change(counter), seconds)]),
    ) as Record<Counter, number>
    averages.transactionMicros = per(change('transactionMicros'), change('transactions'))
    averages.queryMicros = per(change('queryMicros'), change('queries'))
    return averages
  }
}
