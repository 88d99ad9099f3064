import { ConnectionCounts } from '../net/connection-counts.ts'
import { PoolMetricsBook } from './pool-metrics.ts'

/** Instruments: everything that is counted for /metrics alone. A pooler without http_listen has none. */
export class Instruments {
  readonly connections = new ConnectionCounts()
  readonly pools: PoolMetricsBook

  constructor(maxPools: number | undefined) {
    this.pools = new PoolMetricsBook(maxPools)
  }
}
