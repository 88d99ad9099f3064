import { Credentials } from './auth/credentials.ts'
import { parseSecret, type UserSecret } from './auth/user-secret.ts'
import { loadUserlist } from './auth/userlist.ts'
import {
  type Config,
  type DatabaseConfig,
  findDatabase,
  poolMode,
  poolSize,
  queryWaitTimeout,
  serverLifetime,
} from './config/config.ts'
import { PoolerError, SqlState } from './errors.ts'
import type { Logger } from './log.ts'
import { Multiplexer } from './multiplexer/multiplexer.ts'
import { FlushQueue } from './net/flush-queue.ts'
import { NodeTransport } from './net/node-transport.ts'
import type { BoundListener, Endpoint } from './net/transport.ts'
import { Janitor } from './pool/janitor.ts'
import { PoolDirectory } from './pool/pool-directory.ts'
import { ServerPool } from './pool/server-pool.ts'
import { StatementRegistry } from './prepared/statement-registry.ts'
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
  readonly #config: Config
  readonly #log: Logger
  readonly #queue = new FlushQueue()
  readonly #transport = new NodeTransport(this.#queue)
  readonly #registry = new StatementRegistry()
  readonly #janitor = new Janitor()
  readonly #pools = new PoolDirectory((database, user) => this.#createPool(database, user))
  #credentials = new Credentials(new Map())
  #multiplexer: Multiplexer | null = null
  #listeners: BoundListener[] = []

  constructor(config: Config, log: Logger) {
    this.#config = config
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
    for (const { name, password } of this.#config.databases.values()) {
      if (password !== undefined) readSecret(`databases.${name}.password`, password)
    }
    const fallbackPassword = this.#config.fallbackDatabase?.password
    if (fallbackPassword !== undefined) readSecret('databases."*".password', fallbackPassword)
    const { pooler, users } = this.#config
    const passwords = new Map<string, string>()
    for (const [name, { password }] of users) if (password !== undefined) passwords.set(name, password)
    const userlist = pooler.auth_file === undefined ? new Map() : await loadUserlist(pooler.auth_file)
    this.#credentials = new Credentials(passwords, userlist)
    const multiplexer = new Multiplexer({
      config: this.#config,
      credentials: this.#credentials,
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
    this.#janitor.add((nowMs) => this.#pools.tick(nowMs))
    this.#janitor.start()
  }

  /** Stops listening and closes all clients and servers. */
  async stop(): Promise<void> {
    const error = new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down')
    this.#janitor.stop()
    const listening = this.#listeners.map((listener) => listener.close())
    this.#multiplexer?.stop(error)
    await Promise.all([...this.#pools].map((pool) => pool.stop(error)))
    await Promise.all(listening)
    this.#log.info('stopped')
  }

  #createPool(databaseName: string, user: string): ServerPool {
    const config = this.#config
    const database = findDatabase(config, databaseName)
    if (database === undefined)
      throw new PoolerError(SqlState.InvalidCatalogName, `database "${databaseName}" does not exist`)
    const { server_connect_timeout, server_idle_timeout, server_login_retry, max_prepared_statements } =
      config.pooler
    const endpoint = endpointOf(database)
    const serverUser = database.user ?? user
    const target = {
      endpoint,
      dbname: database.dbname,
      user: serverUser,
      secret:
        database.password === undefined ? this.#credentials.find(serverUser) : parseSecret(database.password),
      connectTimeoutMs: server_connect_timeout,
      maxStatements: poolMode(config, database, user) === 'session' ? 0 : max_prepared_statements,
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
      open: (signal) => openServer(target, this.#transport, this.#queue, this.#registry, signal),
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

function cannotListen(host: string, port: number, error: unknown): PoolerError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const message =
    code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use by another program: choose another listen_port, or stop that program`
      : `cannot listen on ${host}, port ${port}: ${error instanceof Error ? error.message : String(error)}`
  return new PoolerError(SqlState.ConfigurationError, message, { cause: error })
}

/** A host that begins with a slash is the folder of a unix socket, as in libpq. */
function endpointOf(database: DatabaseConfig): Endpoint {
  const { host, port } = database
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
}
