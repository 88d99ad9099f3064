import { PoolerError, SqlState } from '../errors.ts'
import { parseSecret, type UserSecret } from './user-secret.ts'

/**
 * AuthQueryCache: the secrets that auth_query gave. Credentials asks it for users who are in no file. However many
 * clients of a user log in at once, one query is under way for them, and none when the last answer is younger than
 * auth_query_recheck; an older one is asked for again before it is used, so that a changed password works at its
 * first attempt. The object that stands for a secret stays the same while its text does, so that keys learnt from
 * clients outlive their answer. The query itself is injected.
 */
export interface AuthQueryCacheOptions {
  /** auth_query_ttl: so old may an answer be that is used because a new one is not to be had. */
  readonly ttlMs: number
  /** auth_query_recheck: so old may one be that is used unasked; no older than `ttlMs`. */
  readonly recheckMs: number
  /** What names the source of secrets for clients of this database; undefined if there is none. */
  readonly sourceOf: (database: string) => string | undefined
  /**
   * Asks that source: the secret's text, null for a user who may not log in, undefined for an unknown one. When it
   * is about to ask and `stillWanted` says no, it rejects with an AbandonedQuestion.
   */
  readonly fetch: (
    user: string,
    database: string,
    stillWanted: () => boolean,
  ) => Promise<string | null | undefined>
  /** The clock; given by tests only. */
  readonly now?: () => number
}

/** All who asked have hung up before the question was sent. */
export class AbandonedQuestion extends Error {
  override readonly name = 'AbandonedQuestion'
}

interface Entry {
  readonly text: string
  readonly secret: UserSecret
  readonly fetchedMs: number
  /** When it was last tried to fetch it again, with or without success. */
  triedMs: number
}

/** A query under way. */
interface Question {
  readonly answer: Promise<UserSecret | undefined>
  readonly sinceMs: number
  /** Of each who waits for it: is it still there? */
  askers: StillWanted[]
  /** When there are so many of them, those are sorted out that are gone. */
  askersLimit: number
}

type StillWanted = () => boolean

/** An unknown user is asked for again after this; attackers know many names, and operators create users. */
const UNKNOWN_TTL_MS = 2000
/** Failed logins cause at most one query per user in this time. */
const REFRESH_INTERVAL_MS = 1000
/** So long a login waits for a new answer where it has an old one. */
const RECHECK_WAIT_MS = 500
/** The entries that were asked for longest ago go first. */
const MAX_KNOWN = 100_000
const MAX_UNKNOWN = 10_000
/** Whoever hangs up while it waits is still remembered until the answer comes. */
const MAX_WAITING = 10_000
const FIRST_ASKERS_LIMIT = 100

const always: StillWanted = () => true

export class AuthQueryCache {
  readonly #options: AuthQueryCacheOptions
  readonly #now: () => number
  /** Users with a secret by source and name, longest without a query first. */
  readonly #known = new Map<string, Entry>()
  /** When users without a secret were asked for, in the same order. */
  readonly #unknown = new Map<string, number>()
  /** Queries under way. */
  readonly #questions = new Map<string, Question>()
  /** Refreshes that wait for their time, or for their query. */
  readonly #refreshing = new Map<string, Promise<UserSecret | undefined>>()
  /** Logins that wait for a query. */
  #waiting = 0

  constructor(options: AuthQueryCacheOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /**
   * The secret of a user who logs in to `database`, at once if it is fresh. Undefined: no such user, or none who
   * may log in. Rejects with PoolerError 57P03, with the reason as its cause, when the query cannot be answered and
   * there is no older answer. Once `stillWanted` says no, the question may go unasked.
   */
  lookup(
    user: string,
    database: string,
    stillWanted: StillWanted = always,
  ): UserSecret | undefined | Promise<UserSecret | undefined> {
    const key = this.#keyOf(user, database)
    if (key === undefined) return undefined
    const { ttlMs, recheckMs } = this.#options
    const nowMs = this.#now()
    const entry = this.#known.get(key)
    const usable = entry !== undefined && nowMs - entry.fetchedMs < ttlMs
    if (usable && !this.#questions.has(key) && nowMs - entry.triedMs < recheckMs) return entry.secret
    const unknownSinceMs = this.#unknown.get(key)
    const unknownTtlMs = Math.min(UNKNOWN_TTL_MS, ttlMs, recheckMs)
    if (unknownSinceMs !== undefined && nowMs - unknownSinceMs < unknownTtlMs) return undefined
    if (this.#waiting >= MAX_WAITING) {
      return usable ? entry.secret : Promise.reject(lookupFailed(new Error('too many logins wait for it')))
    }
    const { answer, sinceMs } = this.#ask(key, user, database, stillWanted)
    if (!usable) return this.#waitFor(answer)
    const leftMs = sinceMs + RECHECK_WAIT_MS - nowMs
    return leftMs <= 0 ? entry.secret : this.#waitFor(answerOrElse(answer, leftMs, entry.secret))
  }

  /** The secret as it was when last asked for, however long ago; undefined when it is not in the cache. */
  peek(user: string, database: string): UserSecret | undefined {
    const key = this.#keyOf(user, database)
    return key === undefined ? undefined : this.#known.get(key)?.secret
  }

  /**
   * Asks anew for a user whose login failed: the password may have been changed since the last answer. Resolves with
   * what the cache then has and never rejects. Failures in quick succession share a query, the last one included: it
   * waits.
   */
  refresh(user: string, database: string): Promise<UserSecret | undefined> {
    const key = this.#keyOf(user, database)
    const entry = key === undefined ? undefined : this.#known.get(key)
    // A name without a secret is asked for again soon enough, and whoever guesses names must not cause queries.
    if (key === undefined || entry === undefined) return Promise.resolve(undefined)
    const running = this.#refreshing.get(key)
    if (running !== undefined) return running
    const waitMs = entry.triedMs + REFRESH_INTERVAL_MS - this.#now()
    const refresh = delay(waitMs)
      .then(() => this.#ask(key, user, database, always).answer)
      .catch(() => this.#known.get(key)?.secret)
      .finally(() => this.#refreshing.delete(key))
    this.#refreshing.set(key, refresh)
    return refresh
  }

  #keyOf(user: string, database: string): string | undefined {
    const source = this.#options.sourceOf(database)
    return source === undefined ? undefined : `${source}\0${user}`
  }

  /** The query under way for this user, or a new one. */
  #ask(key: string, user: string, database: string, stillWanted: StillWanted): Question {
    const running = this.#questions.get(key)
    if (running !== undefined) {
      if (running.askers.length >= running.askersLimit) {
        running.askers = running.askers.filter((wanted) => wanted())
        running.askersLimit = Math.max(FIRST_ASKERS_LIMIT, 2 * running.askers.length)
      }
      running.askers.push(stillWanted)
      return running
    }
    const isWanted = (): boolean => question.askers.some((wanted) => wanted())
    const answer = this.#options
      .fetch(user, database, isWanted)
      .then((text) => this.#keep(key, text))
      .catch((cause: unknown) => {
        const entry = this.#known.get(key)
        if (entry !== undefined && !(cause instanceof AbandonedQuestion)) entry.triedMs = this.#now()
        throw lookupFailed(cause)
      })
      .finally(() => this.#questions.delete(key))
    const question: Question = {
      answer,
      sinceMs: this.#now(),
      askers: [stillWanted],
      askersLimit: FIRST_ASKERS_LIMIT,
    }
    this.#questions.set(key, question)
    return question
  }

  #waitFor(answer: Promise<UserSecret | undefined>): Promise<UserSecret | undefined> {
    this.#waiting += 1
    return answer.finally(() => {
      this.#waiting -= 1
    })
  }

  #keep(key: string, text: string | null | undefined): UserSecret | undefined {
    const entry = this.#known.get(key)
    this.#known.delete(key)
    this.#unknown.delete(key)
    const nowMs = this.#now()
    if (text === null || text === undefined) {
      add(this.#unknown, key, nowMs, MAX_UNKNOWN)
      return undefined
    }
    const secret = entry?.text === text ? entry.secret : parseSecret(text)
    add(this.#known, key, { text, secret, fetchedMs: nowMs, triedMs: nowMs }, MAX_KNOWN)
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

/** The answer, or `old` where there is none in time. */
function answerOrElse(
  answer: Promise<UserSecret | undefined>,
  waitMs: number,
  old: UserSecret,
): Promise<UserSecret | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(old), waitMs).unref()
    const settle = (secret: UserSecret | undefined): void => {
      clearTimeout(timer)
      resolve(secret)
    }
    answer.then(settle, () => settle(old))
  })
}

/** What the client may know; the cause is for the log. */
function lookupFailed(cause: unknown): PoolerError {
  return new PoolerError(SqlState.CannotConnectNow, 'the pooler cannot look up users at the moment', {
    cause,
    hint: 'Try again later.',
  })
}
