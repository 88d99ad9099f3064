import assert from 'node:assert'
import { systemFiles } from './auth/access-files.ts'
import { AuthQueryCache } from './auth/auth-query-cache.ts'
import { Credentials } from './auth/credentials.ts'
import { loadLoginPolicy } from './auth/load-login-policy.ts'
import { loginClock } from './auth/login-clock.ts'
import type { LoginPolicy } from './auth/login-policy.ts'
import { LoginThrottle } from './auth/login-throttle.ts'
import { ownNetworks } from './auth/own-networks.ts'
import { parseSecret, type UserSecret } from './auth/user-secret.ts'
import { loadUserlist } from './auth/userlist.ts'
import {
  type AuthQuerySource,
  authQueryProblems,
  authQuerySource,
  usesAuthQuery,
} from './config/auth-query-source.ts'
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
import { resolveSecrets } from './config/secret-source.ts'
import { unixSocketPath } from './config/unix-socket-path.ts'
import { PoolerError, SqlState } from './errors.ts'
import type { Logger } from './log.ts'
import { Multiplexer } from './multiplexer/multiplexer.ts'
import { ClientListeners } from './net/client-listeners.ts'
import { DescriptorGuard } from './net/descriptor-guard.ts'
import { FlushQueue } from './net/flush-queue.ts'
import { NodeTransport } from './net/node-transport.ts'
import { TlsDirectory } from './net/tls-directory.ts'
import type { Endpoint } from './net/transport.ts'
import { Janitor } from './pool/janitor.ts'
import { PoolDirectory } from './pool/pool-directory.ts'
import { ServerPool } from './pool/server-pool.ts'
import { StatementRegistry } from './prepared/statement-registry.ts'
import { encodePoolerError } from './protocol/error-response.ts'
import { AuthQueries } from './server/auth-queries.ts'
import type { ServerConnection } from './server/server-connection.ts'
import { openServer } from './server/server-login.ts'

const OUT_OF_DESCRIPTORS = encodePoolerError(
  new PoolerError(
    SqlState.TooManyConnections,
    'no more connections allowed (the limit of open files of the pooler)',
  ),
)

/** Counts for operators and tests. */
export interface PoolerStats {
  readonly clients: number
  /** Statements in the registry. */
  readonly statements: number
  /** Connections refused since the start because the process was nearly out of file descriptors. */
  readonly refusedForDescriptors: number
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
  readonly #guard: DescriptorGuard
  readonly #listeners: ClientListeners

  /** `configFile` is where the Config was read from, if it was: it is looked at for who may read it. */
  constructor(config: Config, log: Logger, configFile?: string) {
    this.#config = config
    this.#configFile = configFile
    this.#log = log
    this.#guard = new DescriptorGuard({ refusal: OUT_OF_DESCRIPTORS, log })
    this.#listeners = new ClientListeners(this.#transport, this.#guard, log)
  }

  /** Where it listens first, the folder if that is a unix socket; throws before start(). */
  get address(): { host: string; port: number } {
    const listener = this.#listeners.first
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
    const refusedForDescriptors = this.#guard.refused
    const clients = this.#multiplexer?.clientCount ?? 0
    return { clients, statements: this.#registry.size, refusedForDescriptors, pools }
  }

  /**
   * Reads the users and listens. Rejects with a PoolerError F0000 that says what is wrong: a secret that
   * cannot be read, an address that cannot be listened on.
   */
  async start(): Promise<void> {
    this.#config = await resolveSecrets(this.#config)
    const authProblems = authQueryProblems(this.#config)
    if (authProblems.length > 0) throw new PoolerError(SqlState.ConfigurationError, authProblems.join('\n'))
    const policy = loginPolicyOf(this.#config)
    for (const line of await secretFileWarnings(this.#config, this.#configFile)) this.#log.warn(line)
    for (const { name, password } of this.#config.databases.values()) {
      if (password !== undefined) readSecret(`databases.${name}.password`, password)
    }
    const fallbackPassword = this.#config.fallbackDatabase?.password
    if (fallbackPassword !== undefined) readSecret('databases."*".password', fallbackPassword)
    const { pooler, users } = this.#config
    const passwords = new Map([...users].map(([name, { password }]) => [name, password]))
    const userlist = pooler.auth_file === undefined ? new Map() : await loadUserlist(pooler.auth_file)
    this.#credentials = new Credentials(passwords, userlist, this.#createAuthQueryCache())
    const tls = await TlsDirectory.load(this.#config)
    this.#tls = tls
    const multiplexer = new Multiplexer({
      config: this.#config,
      credentials: this.#credentials,
      policy,
      throttle: new LoginThrottle(
        {
          maxPendingPerAddress: pooler.max_pending_logins_per_address,
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
    await this.#listeners.open(pooler, (connection) => multiplexer.accept(connection))
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
    const listening = this.#listeners.close()
    this.#multiplexer?.stop(error)
    this.#authQueries?.stop(error)
    await Promise.all([...this.#pools].map((pool) => pool.stop(error)))
    await listening
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
      sourceOf: (database) => authQuerySource(config, database)?.key,
      fetch: async (user, database) => {
        const source = authQuerySource(config, database)
        return source === undefined ? undefined : queries.fetch(source, user)
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
      ? { path: unixSocketPath(host, port) }
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

function readSecret(key: string, password: string): UserSecret {
  try {
    return parseSecret(password)
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    throw new PoolerError(SqlState.ConfigurationError, `${key}: ${error.message}`)
  }
}

/** Throws PoolerError F0000: every bad line of the access files, settings that contradict each other. */
function loginPolicyOf({ pooler, databases, fallbackDatabase }: Config): LoginPolicy {
  const { auth_type, auth_hba_file, auth_ident_file } = pooler
  const all = [
    ...databases.values(),
    ...(fallbackDatabase === undefined ? [] : [{ ...fallbackDatabase, name: '"*"' }]),
  ]
  const settings = {
    auth_type,
    auth_hba_file,
    auth_ident_file,
    certificatesAsked: pooler.client_tls_ca_file !== undefined && pooler.client_tls_sslmode !== 'disable',
    databaseWithoutUser: all.find(({ user }) => user === undefined)?.name,
  }
  return loadLoginPolicy(settings, systemFiles, ownNetworks)
}
