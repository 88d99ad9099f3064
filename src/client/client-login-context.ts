import type { Credentials } from '../auth/credentials.ts'
import type { LoginPolicy } from '../auth/login-policy.ts'
import type { LoginThrottle } from '../auth/login-throttle.ts'
import type { Config, DatabaseConfig } from '../config/config.ts'
import type { PoolerError } from '../errors.ts'
import type { ClientTls } from '../net/tls-directory.ts'
import type { ClientConnection } from './client-connection.ts'

/** What a login needs from the rest of the pooler. */
export interface ClientLoginContext {
  readonly config: Config
  readonly credentials: Credentials
  /** What a client must do to get in: nobody does without its decision. */
  readonly policy: LoginPolicy
  /** What slows down guessers. */
  readonly throttle: LoginThrottle
  /** TLS for clients; without it none is offered, whatever the settings say. */
  readonly tls?: { readonly clients: ClientTls | null }
  /** Throws a PoolerError while nobody may log in: more clients than max_client_conn, this one included; shutdown. */
  checkRoom(): void
  /** The client has said who it wants to be, which is to be proved. */
  attempted(client: ClientConnection): void
  /** Delivers a CancelRequest that came instead of a login; resolves when that is done, never rejects. */
  cancel(processId: number, secret: Buffer): Promise<void>
  /** The client is refused, for a reason that it may not be told in full. */
  refused(client: ClientConnection, error: PoolerError): void
  /** The client is who it says and its database is known: it gets a session. Throws PoolerError if it cannot. */
  authenticated(client: ClientConnection, database: DatabaseConfig): void
  /**
   * The client is who it says and asked for the admin console. Throws PoolerError 42501 if it may not use it, 3D000 where
   * there is none.
   */
  console(client: ClientConnection): void
  /** The client is gone before that. */
  closed(client: ClientConnection, reason: string): void
}
