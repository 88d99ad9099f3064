import type { PoolerError } from '../errors.ts'
import type { ServerConnection } from './server-connection.ts'

/** Who asks a pool for a server. */
export interface Lessee {
  /** True once it has been welcomed: then it waits through a short outage instead of being refused at once. */
  readonly patient: boolean
  /** Set where it wants a connection that is opened for it alone (DedicatedLessee). */
  readonly startup?: StartupParameters
  /** A server is leased to it; never called from inside `ServerPool.lease()`. */
  onLease(server: ServerConnection): void
  /** It waited in vain and has left the queue. */
  onLeaseRefused(error: PoolerError): void
}

/** Parameters of a StartupMessage beside user and database, names and values as they are sent. */
export type StartupParameters = ReadonlyMap<string, string>

/** Who asks for a server connection of its own, opened with these parameters and closed when it leaves. */
export interface DedicatedLessee extends Lessee {
  readonly startup: StartupParameters
}

export function isDedicated(lessee: Lessee): lessee is DedicatedLessee {
  return lessee.startup !== undefined
}
