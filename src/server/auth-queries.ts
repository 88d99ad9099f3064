import { AbandonedQuestion } from '../auth/auth-query-cache.ts'
import type { AuthQuerySource } from '../config/auth-query-source.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { AuthQuery } from './auth-query.ts'
import type { ServerConnection } from './server-connection.ts'

/**
 * AuthQueries: who asks auth_query, for every source of secrets that there is. The cache of secrets calls
 * fetch(), the janitor tick(). It owns at most one connection per source, opened when it is needed, and the
 * questions that wait for it.
 */
export interface AuthQueriesOptions {
  /** Logs in as the source's auth_user, with no startup parameter of any client. */
  readonly open: (source: AuthQuerySource, signal: AbortSignal) => Promise<ServerConnection>
  /** How long one answer may take; 0 = without limit. */
  readonly timeoutMs: number
  /** A connection that was not asked for so long is closed; 0 = never. */
  readonly idleTimeoutMs: number
  readonly log: Logger
}

/** One source, its connection and what waits for it. */
class Line {
  readonly source: AuthQuerySource
  connection: AuthQuery | undefined
  /** The last question in it; each waits for the one before. */
  tail: Promise<unknown> = Promise.resolve()
  waiting = 0
  usedMs = Date.now()
  /** Why it could not be opened, and until when nobody tries again. */
  failure: { readonly error: PoolerError; readonly untilMs: number } | undefined

  constructor(source: AuthQuerySource) {
    this.source = source
  }
}

/** Strangers choose the database, and may each time choose another: their connections are opened few at a time. */
const MAX_OPENING = 4

/** A server that cannot be reached is not tried for every one of a thousand logins. */
const RETRY_MS = 1000

export class AuthQueries {
  readonly #options: AuthQueriesOptions
  readonly #lines = new Map<string, Line>()
  readonly #stopped = new AbortController()
  #opening = 0
  /** Those who wait until fewer connections are being opened. */
  readonly #waiting: (() => void)[] = []

  constructor(options: AuthQueriesOptions) {
    this.#options = options
  }

  /** How many connections are open. */
  get size(): number {
    return [...this.#lines.values()].filter((line) => line.connection?.isOpen === true).length
  }

  /**
   * The secret of `user`; null for one who may not log in, undefined for one who does not exist. Rejects with the
   * PoolerError that says why not, which is logged here and is not for clients; with an AbandonedQuestion if nobody
   * wants to know any more when its turn comes: whoever asks for ever new names and hangs up would otherwise make
   * everybody wait.
   */
  fetch(
    source: AuthQuerySource,
    user: string,
    stillWanted: () => boolean = () => true,
  ): Promise<string | null | undefined> {
    const line = this.#lines.get(source.key) ?? new Line(source)
    this.#lines.set(source.key, line)
    line.waiting += 1
    const answer = line.tail.then(() => this.#ask(line, user, stillWanted))
    line.tail = answer.catch(() => {})
    return answer
  }

  /** Closes connections that nobody needs any more, and forgets sources without one. */
  tick(nowMs: number): void {
    const { idleTimeoutMs } = this.#options
    for (const [key, line] of this.#lines) {
      if (line.waiting > 0) continue
      const idle = idleTimeoutMs > 0 && nowMs - line.usedMs > idleTimeoutMs
      const failing = line.failure !== undefined && nowMs < line.failure.untilMs
      if (line.connection?.isOpen === true ? !idle : failing) continue
      line.connection?.close(new PoolerError(SqlState.AdminShutdown, 'idle for server_idle_timeout'))
      this.#lines.delete(key)
    }
  }

  /** Closes all connections; questions that wait are rejected. */
  stop(error: PoolerError): void {
    this.#stopped.abort(error)
    for (const { connection } of this.#lines.values()) connection?.close(error)
    this.#lines.clear()
  }

  async #ask(line: Line, user: string, stillWanted: () => boolean): Promise<string | null | undefined> {
    const { source } = line
    try {
      if (!stillWanted()) throw new AbandonedQuestion()
      const reused = line.connection
      const connection = await this.#connect(line)
      try {
        return await connection.ask(user)
      } catch (error) {
        // A server that does not answer is not waited for by each of those behind, one after the other.
        if (isOutage(error)) line.failure = { error, untilMs: Date.now() + RETRY_MS }
        // PostgreSQL may have been restarted since the connection was last used: nobody was asked yet.
        if (connection !== reused || connection.isOpen || this.#stopped.signal.aborted) throw error
        return await (await this.#connect(line)).ask(user)
      }
    } catch (error) {
      // Which databases exist is not told to whoever is not logged in: their users do not exist.
      if (error instanceof PoolerError && error.sqlState === SqlState.InvalidCatalogName) return undefined
      if (error instanceof AbandonedQuestion) throw error
      const { database, user: authUser } = source
      this.#options.log.error(
        { err: error, database: database.name, auth_user: authUser },
        'auth_query failed',
      )
      throw error
    } finally {
      line.waiting -= 1
      line.usedMs = Date.now()
    }
  }

  async #open(source: AuthQuerySource): Promise<ServerConnection> {
    // The one who leaves hands its place to the next: the count stays as it is.
    if (this.#opening < MAX_OPENING) this.#opening += 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      this.#stopped.signal.throwIfAborted()
      return await this.#options.open(source, this.#stopped.signal)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#opening -= 1
      else next()
    }
  }

  async #connect(line: Line): Promise<AuthQuery> {
    if (line.connection?.isOpen === true) return line.connection
    this.#stopped.signal.throwIfAborted()
    if (line.failure !== undefined && Date.now() < line.failure.untilMs) throw line.failure.error
    try {
      const { source } = line
      const server = await this.#open(source)
      line.connection = new AuthQuery(server, source.query, this.#options.timeoutMs)
      await line.connection.prepare()
      line.failure = undefined
      return line.connection
    } catch (error) {
      if (error instanceof PoolerError) line.failure = { error, untilMs: Date.now() + RETRY_MS }
      throw error
    }
  }
}

function isOutage(error: unknown): error is PoolerError {
  return error instanceof PoolerError && error.sqlState === SqlState.CannotConnectNow
}
