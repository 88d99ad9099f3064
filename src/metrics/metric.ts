import type { Config } from '../config/config.ts'
import type { ReloadRecord } from '../config/reload-record.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { DnsCache } from '../net/dns-cache.ts'
import type { Histogram } from '../pool/histogram.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import type { PoolMetricsBook } from '../pool/pool-metrics.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import type { StatsBook } from './stats-book.ts'

/** Metric: one family of /metrics: its name, what it means, and where its numbers come from. */

/** What a scrape reads. */
export interface MetricSources {
  readonly config: () => Config
  readonly pools: PoolDirectory
  readonly multiplexer: Multiplexer
  readonly stats: StatsBook
  readonly counts: ConnectionCounts
  readonly poolMetrics: PoolMetricsBook
  readonly registry: StatementRegistry
  readonly dns: DnsCache
  readonly reloads: ReloadRecord
  /** Clients that were refused because there are too few file descriptors. */
  readonly refusedForDescriptors: () => number
}

/** The values of the labels, in their order, and the value. */
export type Sample<V> = readonly [labels: readonly string[], value: V]

interface MetricText {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
}

export interface NumberMetric extends MetricText {
  readonly type: 'counter' | 'gauge'
  samples(sources: MetricSources): Iterable<Sample<number>>
}

export interface HistogramMetric extends MetricText {
  readonly type: 'histogram'
  samples(sources: MetricSources): Iterable<Sample<Histogram>>
}

export type Metric = NumberMetric | HistogramMetric

/** Samples with the same labels as one: what is "other" has many sources. */
export function summed(samples: Iterable<Sample<number>>): Iterable<Sample<number>> {
  const sums = new Map<string, [readonly string[], number]>()
  for (const [labels, value] of samples) {
    const key = JSON.stringify(labels)
    const known = sums.get(key)
    if (known === undefined) sums.set(key, [labels, value])
    else known[1] += value
  }
  return sums.values()
}
