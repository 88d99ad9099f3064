import { AuthQueryCache } from '../auth/auth-query-cache.ts'
import { Credentials } from '../auth/credentials.ts'
import type { UserSecret } from '../auth/user-secret.ts'
import { type AuthQuerySource, authQuerySource, usesAuthQuery } from '../config/auth-query-source.ts'
import type { Config } from '../config/config.ts'
import type { PoolerError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { AuthQueries } from '../server/auth-queries.ts'
import type { ServerConnection } from '../server/server-connection.ts'

/**
 * AuthSources: where the secrets of users come from: [users], the userlist, auth_query. It owns the Credentials,
 * which a reload replaces, and the cache of auth_query, which outlives reloads.
 */
export class AuthSources {
  readonly #open: (source: AuthQuerySource, signal: AbortSignal) => Promise<ServerConnection>
  readonly #log: Logger
  readonly #stopping = new AbortController()
  #config: Config
  #credentials = new Credentials(new Map())
  #queries: AuthQueries | null = null
  #cache: AuthQueryCache | undefined

  /** `open` opens a connection for auth_query. */
  constructor(
    config: Config,
    open: (source: AuthQuerySource, signal: AbortSignal) => Promise<ServerConnection>,
    log: Logger,
  ) {
    this.#config = config
    this.#open = open
    this.#log = log
  }

  get credentials(): Credentials {
    return this.#credentials
  }

  /** At start and at each reload. Throws PoolerError F0000 for a malformed secret. */
  load(config: Config, userlist: ReadonlyMap<string, UserSecret>): void {
    this.#config = config
    const passwords = new Map([...config.users].map(([name, { password }]) => [name, password]))
    if (usesAuthQuery(config)) this.#cache ??= this.#createCache()
    const cache = usesAuthQuery(config) ? this.#cache : undefined
    this.#credentials = new Credentials(passwords, userlist, cache, this.#credentials)
    const { auth_type } = config.pooler
    if (auth_type === 'scram-sha-256' || auth_type === 'hba')
      void this.#credentials.deriveVerifiers(this.#stopping.signal)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    this.#queries?.tick(nowMs)
  }

  stop(error: PoolerError): void {
    this.#stopping.abort()
    this.#queries?.stop(error)
  }

  #createCache(): AuthQueryCache {
    const settings = (): Config['pooler'] => this.#config.pooler
    const queries = new AuthQueries({
      open: this.#open,
      get timeoutMs() {
        return settings().server_connect_timeout
      },
      get idleTimeoutMs() {
        return settings().server_idle_timeout
      },
      log: this.#log,
    })
    this.#queries = queries
    return new AuthQueryCache({
      get ttlMs() {
        return settings().auth_query_ttl
      },
      get recheckMs() {
        return settings().auth_query_recheck
      },
      sourceOf: (database) => authQuerySource(this.#config, database)?.key,
      fetch: async (user, database, stillWanted) => {
        const source = authQuerySource(this.#config, database)
        return source === undefined ? undefined : queries.fetch(source, user, stillWanted)
      },
    })
  }
}
