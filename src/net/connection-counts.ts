import { TrafficCounts } from '../protocol/message-counts.ts'
import { BoundedCounts } from './bounded-counts.ts'

/** SQLSTATEs are five characters of the server's choice, and a function may raise any. */
const MAX_LABELS = 100

/** Churn: connections of one side, since the start. */
class Churn {
  opened = 0
  /** By class of the reason. */
  readonly closed = new BoundedCounts(MAX_LABELS)
}

/**
 * ConnectionCounts: what all connections of the process have done, for /metrics. Made where somebody can read it;
 * without it connections have `null`, and count nothing.
 */
export class ConnectionCounts {
  readonly traffic = new TrafficCounts()
  readonly clients = new Churn()
  readonly servers = new Churn()
  /** What peers sent that they may not, by kind and SQLSTATE, with a blank in between. */
  readonly clientViolations = new BoundedCounts(MAX_LABELS)
  readonly serverViolations = new BoundedCounts(MAX_LABELS)
}
