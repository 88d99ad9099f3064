import { PoolerError, SqlState } from '../errors.ts'
import { parseSecret, type UserSecret } from './user-secret.ts'

/**
 * AuthQueryCache: the secrets that auth_query gave, for as long as auth_query_ttl says. Credentials asks it for
 * users who are in no file. However many clients of a user log in at once, one query is under way for them. The
 * object that stands for a secret stays the same while its text does, so that keys learnt from clients outlive
 * the time to live. The query itself is injected.
 */
export interface AuthQueryCacheOptions {
  /** auth_query_ttl; 0 asks at every login. */
  readonly ttlMs: number
  /** What names the source of secrets for clients of this database; undefined if there is none. */
  readonly sourceOf: (database: string) => string | undefined
  /** Asks that source: the secret's text, null for a user who may not log in, undefined for an unknown one. */
  readonly fetch: (user: string, database: string) => Promise<string | null | undefined>
  /** The clock; given by tests only. */
  readonly now?: () => number
}

interface Entry {
  readonly text: string
  readonly secret: UserSecret
  fetchedMs: number
}

/** An unknown user is asked for again after this; attackers know many names, and operators create users. */
const UNKNOWN_TTL_MS = 2000
/** Failed logins cause at most one query per user in this time. */
const REFRESH_INTERVAL_MS = 1000
/** The entries that were asked for longest ago go first. */
const MAX_KNOWN = 100_000
const MAX_UNKNOWN = 10_000

export class AuthQueryCache {
  readonly #options: AuthQueryCacheOptions
  readonly #now: () => number
  /** Users with a secret by source and name, longest without a query first. */
  readonly #known = new Map<string, Entry>()
  /** When users without a secret were asked for, in the same order. */
  readonly #unknown = new Map<string, number>()
  /** Queries under way. */
  readonly #pending = new Map<string, Promise<UserSecret | undefined>>()
  /** Refreshes that wait for their time, or for their query. */
  readonly #refreshing = new Map<string, Promise<UserSecret | undefined>>()

  constructor(options: AuthQueryCacheOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /**
   * The secret of a user who logs in to `database`, at once if it is fresh. Undefined: no such user, or none who
   * may log in. Rejects with PoolerError 57P03, with the reason as its cause, when the query cannot be answered.
   */
  lookup(user: string, database: string): UserSecret | undefined | Promise<UserSecret | undefined> {
    const key = this.#keyOf(user, database)
    if (key === undefined) return undefined
    const entry = this.#known.get(key)
    if (entry !== undefined && this.#now() - entry.fetchedMs < this.#options.ttlMs) return entry.secret
    const unknownSinceMs = this.#unknown.get(key)
    const unknownTtlMs = Math.min(UNKNOWN_TTL_MS, this.#options.ttlMs)
    if (unknownSinceMs !== undefined && this.#now() - unknownSinceMs < unknownTtlMs) return undefined
    return this.#fetch(key, user, database)
  }

  /** The secret as it was when last asked for, however long ago; undefined when it is not in the cache. */
  peek(user: string, database: string): UserSecret | undefined {
    const key = this.#keyOf(user, database)
    return key === undefined ? undefined : this.#known.get(key)?.secret
  }

  /**
   * Asks anew for a user whose login failed: the password may have been changed. Resolves with what the cache then
   * has and never rejects. Failures in quick succession share a query, the last one included: it waits.
   */
  refresh(user: string, database: string): Promise<UserSecret | undefined> {
    const key = this.#keyOf(user, database)
    const entry = key === undefined ? undefined : this.#known.get(key)
    // A name without a secret is asked for again soon enough, and whoever guesses names must not cause queries.
    if (key === undefined || entry === undefined) return Promise.resolve(undefined)
    const running = this.#refreshing.get(key)
    if (running !== undefined) return running
    const waitMs = entry.fetchedMs + REFRESH_INTERVAL_MS - this.#now()
    const refresh = delay(waitMs)
      .then(() => this.#fetch(key, user, database))
      .catch(() => this.#known.get(key)?.secret)
      .finally(() => this.#refreshing.delete(key))
    this.#refreshing.set(key, refresh)
    return refresh
  }

  #keyOf(user: string, database: string): string | undefined {
    const source = this.#options.sourceOf(database)
    return source === undefined ? undefined : `${source}\0${user}`
  }

  #fetch(key: string, user: string, database: string): Promise<UserSecret | undefined> {
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending
    const query = this.#options
      .fetch(user, database)
      .then((text) => this.#keep(key, text))
      .catch((cause: unknown) => {
        throw lookupFailed(cause)
      })
      .finally(() => this.#pending.delete(key))
    this.#pending.set(key, query)
    return query
  }

  #keep(key: string, text: string | null | undefined): UserSecret | undefined {
    const entry = this.#known.get(key)
    this.#known.delete(key)
    this.#unknown.delete(key)
    if (text === null || text === undefined) {
      add(this.#unknown, key, this.#now(), MAX_UNKNOWN)
      return undefined
    }
    const secret = entry?.text === text ? entry.secret : parseSecret(text)
    add(this.#known, key, { text, secret, fetchedMs: this.#now() }, MAX_KNOWN)
    return secret
  }
}

function add<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  const oldest = map.keys().next()
  if (map.size >= max && !oldest.done) map.delete(oldest.value)
  map.set(key, value)
}

function delay(ms: number): Promise<void> {
  if (ms <= 0) return Promise.resolve()
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

/** What the client may know; the cause is for the log. */
function lookupFailed(cause: unknown): PoolerError {
  return new PoolerError(SqlState.CannotConnectNow, 'the pooler cannot look up users at the moment', {
    cause,
    hint: 'Try again later.',
  })
}
