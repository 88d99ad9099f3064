import assert from 'node:assert'
import { AuthQueryCache } from './auth/auth-query-cache.ts'
import { Credentials } from './auth/credentials.ts'
import { loginClock } from './auth/login-clock.ts'
import { LoginThrottle } from './auth/login-throttle.ts'
import { parseSecret } from './auth/user-secret.ts'
import { readStartupFiles } from './client/startup-files.ts'
import { type AuthQuerySource, authQuerySource, usesAuthQuery } from './config/auth-query-source.ts'
import {
  type Config,
  type DatabaseConfig,
  findDatabase,
  poolMode,
  poolSize,
  queryWaitTimeout,
  serverLifetime,
} from './config/config.ts'
import { secretFileWarnings } from './config/secret-file-warnings.ts'
import { PoolerError, SqlState } from './errors.ts'
import type { Logger } from './log.ts'
import { Multiplexer } from './multiplexer/multiplexer.ts'
import { FlushQueue } from './net/flush-queue.ts'
import { NodeTransport } from './net/node-transport.ts'
import type { TlsDirectory } from './net/tls-directory.ts'
import type { BoundListener, Endpoint } from './net/transport.ts'
import { Janitor } from './pool/janitor.ts'
import { PoolDirectory } from './pool/pool-directory.ts'
import { ServerPool } from './pool/server-pool.ts'
import { StatementRegistry } from './prepared/statement-registry.ts'
import { AuthQueries } from './server/auth-queries.ts'
import type { ServerConnection } from './server/server-connection.ts'
import { openServer } from './server/server-login.ts'

/** Counts for operators and tests. */
export interface PoolerStats {
  readonly clients: number
  /** Statements in the registry. */
  readonly statements: number
  readonly pools: readonly PoolStats[]
}

export interface PoolStats {
  readonly database: string
  readonly user: string
  /** Server connections that exist, and those of them that are leased. */
  readonly servers: number
  readonly active: number
  /** Clients in the queue. */
  readonly waiting: number
}

/**
 * Pooler: the composition root, the only place that wires objects together. `start()` listens, `stop()`
 * closes every connection; a Pooler starts once.
 */
export class Pooler {
  #config: Config
  readonly #configFile: string | undefined
  readonly #log: Logger
  readonly #queue = new FlushQueue()
  readonly #transport = new NodeTransport(this.#queue)
  readonly #registry = new StatementRegistry()
  readonly #janitor = new Janitor()
  readonly #pools = new PoolDirectory((database, user) => this.#createPool(database, user))
  #credentials = new Credentials(new Map())
  #authQueries: AuthQueries | null = null
  #tls: TlsDirectory | null = null
  #multiplexer: Multiplexer | null = null
  readonly #stopping = new AbortController()
  #listeners: BoundListener[] = []

  /** `configFile` is where the Config was read from, if it was: it is looked at for who may read it. */
  constructor(config: Config, log: Logger, configFile?: string) {
    this.#config = config
    this.#configFile = configFile
    this.#log = log
  }

  /** Where it listens first; throws before start(). */
  get address(): { host: string; port: number } {
    const [listener] = this.#listeners
    if (listener === undefined) throw new Error('the pooler is not listening')
    return { host: listener.host, port: listener.port }
  }

  get stats(): PoolerStats {
    const pools = [...this.#pools].map((pool) => ({
      database: pool.database,
      user: pool.user,
      servers: pool.size,
      active: pool.activeCount,
      waiting: pool.waiting,
    }))
    return { clients: this.#multiplexer?.clientCount ?? 0, statements: this.#registry.size, pools }
  }

  /**
   * Reads the users and listens. Rejects with a PoolerError F0000 that says what is wrong: a secret that
   * cannot be read, an address that cannot be listened on.
   */
  async start(): Promise<void> {
    const { config, policy, userlist, tls } = await readStartupFiles(this.#config)
    this.#config = config
    this.#tls = tls
    for (const line of await secretFileWarnings(config, this.#configFile)) this.#log.warn(line)
    const { pooler, users } = config
    const passwords = new Map([...users].map(([name, { password }]) => [name, password]))
    this.#credentials = new Credentials(passwords, userlist, this.#createAuthQueryCache())
    const multiplexer = new Multiplexer({
      config: this.#config,
      credentials: this.#credentials,
      policy,
      throttle: new LoginThrottle(
        {
          maxPendingPerAddress: pooler.max_pending_logins_per_address,
          maxFailedPerAddress: pooler.max_failed_logins_per_address,
          failureDelayMs: pooler.auth_failure_delay,
        },
        loginClock,
      ),
      tls,
      pools: this.#pools,
      registry: this.#registry,
      transport: this.#transport,
      queue: this.#queue,
      log: this.#log,
    })
    this.#multiplexer = multiplexer
    for (const host of pooler.listen_addr) {
      const listener = await this.#transport
        .listen({ host, port: pooler.listen_port, backlog: pooler.listen_backlog }, (connection) =>
          multiplexer.accept(connection),
        )
        .catch(async (error: unknown) => {
          await Promise.all(this.#listeners.map((open) => open.close()))
          throw cannotListen(host, pooler.listen_port, error)
        })
      this.#listeners.push(listener)
      this.#log.info({ host: listener.host, port: listener.port }, 'listening')
    }
    this.#janitor.add((nowMs) => multiplexer.tick(nowMs))
    this.#janitor.add((nowMs) => this.#authQueries?.tick(nowMs))
    this.#janitor.add((nowMs) => this.#pools.tick(nowMs))
    if (pooler.auth_type === 'scram-sha-256' || pooler.auth_type === 'hba') {
      void this.#credentials.deriveVerifiers(this.#stopping.signal)
    }
    this.#janitor.start()
  }

  /** Reads certificates and keys again: new connections use them, open ones keep theirs. */
  async reloadTls(): Promise<void> {
    await this.#tls?.reload()
  }

  /** Stops listening and closes all clients and servers. */
  async stop(): Promise<void> {
    const error = new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down')
    this.#stopping.abort()
    this.#janitor.stop()
    const listening = this.#listeners.map((listener) => listener.close())
    this.#multiplexer?.stop(error)
    this.#authQueries?.stop(error)
    await Promise.all([...this.#pools].map((pool) => pool.stop(error)))
    await Promise.all(listening)
    this.#log.info('stopped')
  }

  /** What asks for users who are in no file; undefined where there is no auth_user. */
  #createAuthQueryCache(): AuthQueryCache | undefined {
    const config = this.#config
    if (!usesAuthQuery(config)) return undefined
    const queries = new AuthQueries({
      open: (source, signal) => this.#openAuthServer(source, signal),
      timeoutMs: config.pooler.server_connect_timeout,
      idleTimeoutMs: config.pooler.server_idle_timeout,
      log: this.#log,
    })
    this.#authQueries = queries
    return new AuthQueryCache({
      ttlMs: config.pooler.auth_query_ttl,
      recheckMs: config.pooler.auth_query_recheck,
      sourceOf: (database) => authQuerySource(config, database)?.key,
      fetch: async (user, database, stillWanted) => {
        const source = authQuerySource(config, database)
        return source === undefined ? undefined : queries.fetch(source, user, stillWanted)
      },
    })
  }

  #openAuthServer({ database, user }: AuthQuerySource, signal: AbortSignal): Promise<ServerConnection> {
    const target = {
      endpoint: this.#endpointOf(database),
      dbname: database.dbname,
      user,
      secret: this.#credentials.find(user),
      connectTimeoutMs: this.#config.pooler.server_connect_timeout,
      maxStatements: 0,
    }
    return openServer(target, this.#transport, this.#queue, this.#registry, signal)
  }

  /** A host that begins with a slash is the folder of a unix socket, as in libpq. */
  #endpointOf({ name, host, port }: DatabaseConfig): Endpoint {
    const tls = this.#tls
    assert(tls !== null, 'servers are connected to after start()')
    return host.startsWith('/')
      ? { path: `${host}/.s.PGSQL.${port}` }
      : { host, port, tls: () => tls.server(name) }
  }

  #createPool(databaseName: string, user: string): ServerPool {
    const config = this.#config
    const database = findDatabase(config, databaseName)
    if (database === undefined)
      throw new PoolerError(SqlState.InvalidCatalogName, `database "${databaseName}" does not exist`)
    const { server_connect_timeout, server_idle_timeout, server_login_retry, max_prepared_statements } =
      config.pooler
    const endpoint = this.#endpointOf(database)
    const serverUser = database.user ?? user
    const target = {
      endpoint,
      dbname: database.dbname,
      user: serverUser,
      connectTimeoutMs: server_connect_timeout,
      maxStatements: poolMode(config, database, user) === 'session' ? 0 : max_prepared_statements,
    }
    // A database's own secret is made once and learns from no client.
    const own = database.password === undefined ? undefined : parseSecret(database.password)
    const open = async (signal: AbortSignal): Promise<ServerConnection> => {
      const secret = own ?? (await this.#credentials.serverSecret(serverUser, databaseName))
      return openServer({ ...target, secret }, this.#transport, this.#queue, this.#registry, signal)
    }
    return new ServerPool({
      database: databaseName,
      user,
      endpoint,
      size: poolSize(config, database, user),
      waitTimeoutMs: queryWaitTimeout(config, database, user),
      lifetimeMs: serverLifetime(config, database),
      idleTimeoutMs: server_idle_timeout,
      retryMs: server_login_retry,
      open,
      log: this.#log,
    })
  }
}

function cannotListen(host: string, port: number, error: unknown): PoolerError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const message =
    code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use by another program: choose another listen_port, or stop that program`
      : `cannot listen on ${host}, port ${port}: ${error instanceof Error ? error.message : String(error)}`
  return new PoolerError(SqlState.ConfigurationError, message, { cause: error })
}
