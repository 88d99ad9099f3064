import type { PoolerError } from '../errors.ts'
import type { ServerConnection } from './server-connection.ts'

/** Who asks a pool for a server. */
export interface Lessee {
  /** True once it has been welcomed: then it waits through a short outage instead of being refused at once. */
  readonly patient: boolean
  /** A server is leased to it; never called from inside `ServerPool.lease()`. */
  onLease(server: ServerConnection): void
  /** It waited in vain and has left the queue. */
  onLeaseRefused(error: PoolerError): void
}
