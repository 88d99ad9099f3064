import type { ClientConnection } from '../client/client-connection.ts'
import type { ServerPool } from '../pool/server-pool.ts'
import type { ServerConnection } from '../server/server-connection.ts'

/** What is known of every client that has logged in: of a Session and of a ReplicationSession. */
export interface LoggedInClient {
  readonly client: ClientConnection
  readonly pool: ServerPool
  /** The one that it has at the moment. */
  readonly server: ServerConnection | null
  /** When what the server is to answer now was asked for; 0 = nothing is, absent where that is not followed. */
  readonly requestSinceMs?: number
}
