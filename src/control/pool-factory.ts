import type { Credentials } from '../auth/credentials.ts'
import { parseSecret, type UserSecret } from '../auth/user-secret.ts'
import type { AuthQuerySource } from '../config/auth-query-source.ts'
import { type Config, type DatabaseConfig, findDatabase } from '../config/config.ts'
import { poolPolicy } from '../config/pool-policy.ts'
import { serverParameters } from '../config/server-parameters.ts'
import { unixSocketPath } from '../config/unix-socket-path.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { TlsDirectory } from '../net/tls-directory.ts'
import type { Endpoint, Transport } from '../net/transport.ts'
import type { ConnectionBudget } from '../pool/connection-budget.ts'
import { ServerPool } from '../pool/server-pool.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { openServer, type ServerTarget } from '../server/server-login.ts'

/** What a PoolFactory is made of; those that a reload replaces are asked for each time. */
export interface PoolFactoryParts {
  readonly config: () => Config
  readonly credentials: () => Credentials
  readonly tls: () => TlsDirectory
  readonly transport: Transport
  readonly queue: FlushQueue
  readonly registry: StatementRegistry
  readonly budget: ConnectionBudget
  readonly log: Logger
}

/**
 * PoolFactory: makes pools, and opens their server connections as the configuration says at that moment. It owns the
 * secrets of databases.
 */
export class PoolFactory {
  readonly #parts: PoolFactoryParts
  /** By their text: made once, so that derived keys are kept. They learn from no client. */
  readonly #secrets = new Map<string, UserSecret>()

  constructor(parts: PoolFactoryParts) {
    this.#parts = parts
  }

  /** `user` is who the pool logs in as. Throws PoolerError 3D000 for an unknown database. */
  create(databaseName: string, user: string): ServerPool {
    const { config, credentials, budget, log } = this.#parts
    const policy = poolPolicy(config(), this.#database(databaseName), user)
    // A reload may change everything but this: clients have prepared statements, or they have not.
    const maxStatements = policy.mode === 'session' ? 0 : config().pooler.max_prepared_statements
    const open = async (signal: AbortSignal): Promise<ServerConnection> => {
      const database = this.#database(databaseName)
      const secret = this.#secretOf(database) ?? (await credentials().serverSecret(user, databaseName))
      return this.#open(database, user, secret, signal, {
        maxStatements,
        parameters: serverParameters(database),
      })
    }
    return new ServerPool({ database: databaseName, user, policy, budget, open, log })
  }

  /** A connection for auth_query. */
  openForAuthQuery({ database, user }: AuthQuerySource, signal: AbortSignal): Promise<ServerConnection> {
    const secret = this.#parts.credentials().find(user)
    // Its own session: what clients of the database are to start with does not belong there.
    return this.#open(database, user, secret, signal, { maxStatements: 0, parameters: [] })
  }

  #open(
    database: DatabaseConfig,
    user: string,
    secret: UserSecret | undefined,
    signal: AbortSignal,
    session: Required<Pick<ServerTarget, 'maxStatements' | 'parameters'>>,
  ): Promise<ServerConnection> {
    const { config, transport, queue, registry } = this.#parts
    const target = {
      endpoint: this.#endpointOf(database),
      dbname: database.dbname,
      user,
      secret,
      connectTimeoutMs: config().pooler.server_connect_timeout,
      ...session,
    }
    return openServer(target, transport, queue, registry, signal)
  }

  /** A host that begins with a slash is the folder of a unix socket, as in libpq. */
  #endpointOf({ name, host, port }: DatabaseConfig): Endpoint {
    return host.startsWith('/')
      ? { path: unixSocketPath(host, port) }
      : { host, port, tls: () => this.#parts.tls().server(name) }
  }

  /** Throws PoolerError 3D000 where there is none, or a reload has removed it. */
  #database(name: string): DatabaseConfig {
    const database = findDatabase(this.#parts.config(), name)
    if (database === undefined)
      throw new PoolerError(SqlState.InvalidCatalogName, `database "${name}" does not exist`)
    return database
  }

  #secretOf({ password }: DatabaseConfig): UserSecret | undefined {
    if (password === undefined) return undefined
    const secret = this.#secrets.get(password) ?? parseSecret(password)
    this.#secrets.set(password, secret)
    return secret
  }
}
