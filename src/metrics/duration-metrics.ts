import type { BoundedCounts } from '../net/bounded-counts.ts'
import type { Histogram } from '../pool/histogram.ts'
import type { PoolMetrics } from '../pool/pool-metrics.ts'
import type { HistogramMetric, Metric, NumberMetric, Sample } from './metric.ts'

function histogram(name: string, help: string, of: (metrics: PoolMetrics) => Histogram): HistogramMetric {
  return {
    name: `pooler_${name}_seconds`,
    type: 'histogram',
    help,
    labels: ['database', 'user'],
    *samples({ poolMetrics }) {
      for (const metrics of poolMetrics) {
        const sample: Sample<Histogram> = [[metrics.database, metrics.user], of(metrics)]
        yield sample
      }
    },
  }
}

function bySqlState(name: string, help: string, of: (metrics: PoolMetrics) => BoundedCounts): NumberMetric {
  return {
    name: `pooler_${name}_total`,
    type: 'counter',
    help,
    labels: ['database', 'user', 'sqlstate'],
    *samples({ poolMetrics }) {
      for (const metrics of poolMetrics)
        for (const [sqlState, count] of of(metrics))
          yield [[metrics.database, metrics.user, sqlState], count] as const
    },
  }
}

/** What is kept by pair of database and user at the server, beyond SHOW STATS. */
export const durationMetrics: readonly Metric[] = [
  histogram(
    'server_wait',
    'How long clients waited for a server; those that got one at once are in the first bucket.',
    ({ waits }) => waits,
  ),
  histogram(
    'query_duration',
    'From a request to its ReadyForQuery, without the wait for a server; each batch of a pipeline counts.',
    ({ queries }) => queries,
  ),
  histogram(
    'transaction_duration',
    'From the first message of a transaction to its end.',
    ({ transactions }) => transactions,
  ),
  histogram('login_duration', 'From accept to the first ReadyForQuery of a client.', ({ logins }) => logins),
  histogram(
    'server_connect_duration',
    'Connecting and logging in to a server, where that succeeded.',
    ({ connects }) => connects,
  ),
  bySqlState(
    'server_connect_failures',
    'Attempts to open a server connection that failed.',
    ({ connectFailures }) => connectFailures,
  ),
  bySqlState(
    'server_errors',
    'Errors that servers answered with while a client had them.',
    ({ errors }) => errors,
  ),
]
