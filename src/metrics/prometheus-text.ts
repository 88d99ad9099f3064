import { collectDefaultMetrics, Registry } from 'prom-client'
import { BUCKET_MICROS, type Histogram } from '../pool/histogram.ts'
import type { HistogramMetric, Metric, MetricSources, NumberMetric } from './metric.ts'
import { metricTable } from './metric-table.ts'

const MICROS_PER_SECOND = 1e6

interface PromValue {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

/**
 * PrometheusText: the text of /metrics. prom-client writes it and adds the metrics of the process; what the pooler
 * counts is read from its own plain counters when somebody asks, and never before.
 */
export class PrometheusText {
  readonly #registry = new Registry()

  constructor(sources: MetricSources) {
    for (const metric of metricTable) this.#register(metric, sources)
    collectDefaultMetrics({ register: this.#registry })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  render(): Promise<string> {
    return this.#registry.metrics()
  }

  #register(metric: Metric, sources: MetricSources): void {
    const { name, help, type } = metric
    // The registry asks nothing else of a metric; its types know only prom-client's own classes.
    const source = {
      name,
      help,
      type,
      get: () => Promise.resolve({ name, help, type, values: [...valuesOf(metric, sources)] }),
    }
    this.#registry.registerMetric(source as unknown as Parameters<Registry['registerMetric']>[0])
  }
}

function valuesOf(metric: Metric, sources: MetricSources): Iterable<PromValue> {
  return metric.type === 'histogram' ? histogramValues(metric, sources) : numberValues(metric, sources)
}

function* numberValues(metric: NumberMetric, sources: MetricSources): Generator<PromValue> {
  for (const [values, value] of metric.samples(sources)) yield { labels: named(metric, values), value }
}

function* histogramValues(metric: HistogramMetric, sources: MetricSources): Generator<PromValue> {
  for (const [values, histogram] of metric.samples(sources))
    yield* bucketsOf(metric.name, named(metric, values), histogram)
}

function* bucketsOf(
  name: string,
  labels: Record<string, string>,
  histogram: Histogram,
): Generator<PromValue> {
  let count = 0
  for (const [index, inBucket] of histogram.counts.entries()) {
    count += inBucket
    const bound = BUCKET_MICROS[index]
    const le = bound === undefined ? '+Inf' : bound / MICROS_PER_SECOND
    yield { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
  }
  yield { metricName: `${name}_sum`, labels, value: histogram.sumMicros / MICROS_PER_SECOND }
  yield { metricName: `${name}_count`, labels, value: count }
}

function named({ labels }: Metric, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(labels.map((label, index) => [label, values[index] ?? '']))
}
