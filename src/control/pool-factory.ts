import type { Credentials } from '../auth/credentials.ts'
import { parseSecret, type UserSecret } from '../auth/user-secret.ts'
import type { AuthQuerySource } from '../config/auth-query-source.ts'
import { type Config, type DatabaseConfig, findDatabase } from '../config/config.ts'
import { poolPolicy } from '../config/pool-policy.ts'
import { serverParameters } from '../config/server-parameters.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { ConnectionIds } from '../net/connection-ids.ts'
import { DnsCache } from '../net/dns-cache.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { lookUpHost } from '../net/look-up-host.ts'
import type { TlsDirectory } from '../net/tls-directory.ts'
import type { Transport } from '../net/transport.ts'
import type { ConnectionBudget } from '../pool/connection-budget.ts'
import { ServerPool } from '../pool/server-pool.ts'
import type { ServerPoolOptions } from '../pool/server-pool-options.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import { HostBackOff } from '../server/host-back-off.ts'
import { HostList } from '../server/host-list.ts'
import { openAtSomeHost } from '../server/open-at-some-host.ts'
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
  readonly ids: ConnectionIds
  readonly budget: ConnectionBudget
  /** Finds the addresses of a host. */
  readonly lookup: typeof lookUpHost
  readonly log: Logger
  /** Null where nobody reads them. */
  readonly counts: ConnectionCounts | null
}

/**
 * PoolFactory: makes pools, and opens their server connections as the configuration says at that moment. It owns the
 * secrets of databases, and what is known about their hosts.
 */
export class PoolFactory {
  readonly #parts: PoolFactoryParts
  /** By their text: made once, so that derived keys are kept. They learn from no client. */
  readonly #secrets = new Map<string, UserSecret>()

  /** What is known of names. */
  readonly dns: DnsCache
  readonly #backOff: HostBackOff
  readonly #hostLists = new WeakMap<ServerPool, HostList>()

  constructor(parts: PoolFactoryParts) {
    this.#parts = parts
    const settings = (): Config['pooler'] => parts.config().pooler
    this.#backOff = new HostBackOff(() => settings().server_login_retry)
    this.dns = new DnsCache({
      lookup: parts.lookup,
      ttls: () => ({ answerMs: settings().dns_max_ttl, failureMs: settings().dns_nxdomain_ttl }),
      log: parts.log,
    })
  }

  /** `user` is who the pool logs in as. Throws PoolerError 3D000 for an unknown database. */
  create(databaseName: string, user: string): ServerPool {
    const { config, credentials, budget, log } = this.#parts
    const policy = poolPolicy(config(), this.#database(databaseName), user)
    const hosts = this.#hostListOf(this.#database(databaseName))
    // A reload may change everything but this: clients have prepared statements, or they have not.
    const maxStatements = policy.mode === 'session' ? 0 : config().pooler.max_prepared_statements
    const open: ServerPoolOptions['open'] = async (signal, startup) => {
      const database = this.#database(databaseName)
      const secret = this.#secretOf(database) ?? (await credentials().serverSecret(user, databaseName))
      // What the client asks for itself comes last, and holds.
      const parameters = new Map([...serverParameters(database), ...(startup ?? [])])
      const target = { dbname: database.dbname, user, secret, maxStatements, startup: parameters }
      return this.#open(databaseName, hosts, target, signal)
    }
    const pool = new ServerPool({ database: databaseName, user, policy, budget, open, log })
    this.#hostLists.set(pool, hosts)
    return pool
  }

  /** A connection for auth_query. */
  openForAuthQuery({ database, user }: AuthQuerySource, signal: AbortSignal): Promise<ServerConnection> {
    const secret = this.#parts.credentials().find(user)
    // Its own session: what clients of the database are to start with does not belong there.
    return this.#open(
      database.name,
      this.#hostListOf(database),
      { dbname: database.dbname, user, secret, maxStatements: 0 },
      signal,
    )
  }

  /** Called by the janitor: looks up the hosts of connections that exist, and gives up those that are not listed any more. */
  followHosts(pools: Iterable<ServerPool>): void {
    for (const pool of pools) {
      const hosts = this.#hostLists.get(pool)
      if (hosts === undefined || pool.size === 0) continue
      hosts.refresh()
      const { lists } = hosts
      pool.retireWhere(
        ({ endpoint }) => endpoint !== null && !lists(endpoint),
        'its host or address is not listed any more',
      )
    }
  }

  async #open(
    database: string,
    hosts: HostList,
    target: Omit<ServerTarget, 'endpoint' | 'connectTimeoutMs'>,
    signal: AbortSignal,
  ): Promise<ServerConnection> {
    const { config, transport, queue, registry, ids, log, counts } = this.#parts
    const server = await openAtSomeHost({
      hosts,
      open: (endpoint, connectTimeoutMs) => {
        const sinceMs = Date.now()
        const opening = { ...target, endpoint, connectTimeoutMs, counts }
        return openServer(opening, transport, queue, registry, signal).catch((error: unknown) => {
          const reason = error instanceof Error ? error.message : String(error)
          const ageSeconds = Math.floor((Date.now() - sinceMs) / 1000)
          const server =
            'path' in endpoint ? endpoint.path : `${endpoint.address ?? endpoint.host}:${endpoint.port}`
          const identity = { serverId: ids.next(), server, database, user: target.user }
          log.debug({ ...identity, reason, ageSeconds }, 'server login ended')
          throw error
        })
      },
      timeoutMs: config().pooler.server_connect_timeout,
      signal,
      log,
    })
    server.id = ids.next()
    return server
  }

  /** The hosts of a database, as the newest configuration has them. */
  #hostListOf(database: DatabaseConfig): HostList {
    return new HostList({
      places: () => findDatabase(this.#parts.config(), database.name) ?? database,
      tls: () => this.#parts.tls().server(database.name),
      dns: this.dns,
      backOff: this.#backOff,
    })
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
