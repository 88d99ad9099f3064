import { connectionMetrics } from './connection-metrics.ts'
import { databaseMetrics } from './database-metrics.ts'
import { durationMetrics } from './duration-metrics.ts'
import type { Metric } from './metric.ts'
import { poolGauges } from './pool-gauges.ts'
import { processMetrics } from './process-metrics.ts'
import { trafficMetrics } from './traffic-metrics.ts'

/** Every metric of the pooler's own: the only place that knows all of them. In the order of /metrics and its documentation. */
export const metricTable: readonly Metric[] = [
  ...databaseMetrics,
  ...poolGauges,
  ...durationMetrics,
  ...trafficMetrics,
  ...connectionMetrics,
  ...processMetrics,
]
