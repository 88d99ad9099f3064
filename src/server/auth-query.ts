import assert from 'node:assert/strict'
import { PoolerError, SqlState } from '../errors.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { encodeQuery } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType as B, backendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import { encodeParameterisedQuery, readColumnCount, readDataRows } from '../protocol/parameterised-query.ts'
import type { ServerConnection, ServerHandler } from './server-connection.ts'
import { ServerState } from './server-state.ts'

/**
 * AuthQuery: one connection of its own that runs auth_query, a question at a time. No client ever uses it or
 * sets anything on it. It is the handler of its server; AuthQueries owns it.
 * Source: PgBouncer setting auth_query; PostgreSQL documentation, "Message Flow", extended query.
 */

/**
 * Nothing that ALTER ROLE or ALTER DATABASE set may decide what the names in the query mean, or how the user
 * name is read. Temporary tables, which come first unless they are named, come last.
 */
const FIXED_SETTINGS = "SET search_path = pg_catalog, pg_temp; SET client_encoding = 'UTF8'"

const COLUMNS = 2
/** One more than may come, so that a second row is noticed. */
const MAX_ROWS = 2
/** A user name and a secret are a few hundred bytes. */
const MAX_RESULT_BYTES = 64 * 1024

/** The question under way and what has come of its answer. */
interface Question {
  readonly resolve: (rows: (string | null)[][]) => void
  readonly reject: (error: unknown) => void
  readonly deadline: NodeJS.Timeout | undefined
  columns: number
  rows: Buffer
  error: PoolerError | undefined
}

export class AuthQuery implements ServerHandler {
  readonly #server: ServerConnection
  readonly #query: string
  readonly #timeoutMs: number
  #question: Question | undefined

  /** Takes over a connection that has just logged in. `timeoutMs` bounds each answer, 0 does not. */
  constructor(server: ServerConnection, query: string, timeoutMs: number) {
    this.#server = server
    this.#query = query
    this.#timeoutMs = timeoutMs
    server.handler = this
    server.state = ServerState.Active
    server.framer.resume()
  }

  /** Makes the settings; to be awaited before ask(). Rejects with a PoolerError, the connection being closed. */
  async prepare(): Promise<void> {
    try {
      await this.#send(encodeQuery(FIXED_SETTINGS))
    } catch (error) {
      if (error instanceof PoolerError) this.#server.close(error)
      throw error
    }
  }

  get isOpen(): boolean {
    return this.#server.state !== ServerState.Closed
  }

  /**
   * The secret of `user`; null for one who may not log in, undefined for one who does not exist. Rejects with a
   * PoolerError for anything but no row or one row of two columns with that name. One call at a time.
   */
  async ask(user: string): Promise<string | null | undefined> {
    const rows = await this.#send(encodeParameterisedQuery(this.#query, user, MAX_ROWS))
    const [row] = rows
    if (row === undefined) return undefined
    if (rows.length > 1)
      throw misfit('it returned more than one row for one user; make the name unique in it')
    const [name, secret] = row
    if (name !== user)
      throw misfit('its row is not of the user it was asked for; return the name as the first column')
    return secret ?? null
  }

  close(error: PoolerError): void {
    this.#server.close(error)
  }

  onServerMessage(
    server: ServerConnection,
    type: number,
    _total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    const question = this.#question
    switch (type) {
      case B.RowDescription:
        if (question !== undefined) question.columns = readColumnCount(buffer, start + HEADER_BYTES, end)
        break
      case B.ErrorResponse:
        this.#fail(readServerError(buffer, start + HEADER_BYTES, end))
        break
      case B.ReadyForQuery:
        this.#answer()
        break
      case B.NoData:
        if (question !== undefined) question.columns = 0
        break
      case B.ParseComplete:
      case B.BindComplete:
      case B.CommandComplete:
      case B.EmptyQueryResponse:
      case B.PortalSuspended:
      case B.ParameterStatus:
      case B.NoticeResponse:
      case B.NotificationResponse:
        break
      default:
        server.close(misfit(`it led to ${backendTypeName(type)}; it must be a query that returns rows`))
    }
    return Verdict.Drop
  }

  /** Rows are what nobody looks at on other connections. */
  onServerRun(server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    const question = this.#question
    server.framer.dropRun(buffer, start, end)
    if (question === undefined) return
    if (question.rows.length + end - start > MAX_RESULT_BYTES) {
      server.close(misfit(`it returned more than ${MAX_RESULT_BYTES} bytes`))
      return
    }
    question.rows = Buffer.concat([question.rows, buffer.subarray(start, end)])
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(_server: ServerConnection, error: PoolerError): void {
    const question = this.#settle()
    // The server's last words say more than that the connection is gone.
    question?.reject(question.error ?? error)
  }

  #send(messages: Buffer): Promise<(string | null)[][]> {
    assert(this.#question === undefined, 'one question at a time')
    if (!this.isOpen)
      return Promise.reject(new PoolerError(SqlState.ConnectionFailure, 'the connection is closed'))
    return new Promise((resolve, reject) => {
      const deadline =
        this.#timeoutMs > 0 ? setTimeout(() => this.#server.close(tooSlow()), this.#timeoutMs) : undefined
      this.#question = {
        resolve,
        reject,
        deadline,
        columns: COLUMNS,
        rows: Buffer.alloc(0),
        error: undefined,
      }
      this.#server.send(messages)
    })
  }

  #fail(error: PoolerError): void {
    if (this.#question !== undefined) this.#question.error ??= error
  }

  #settle(): Question | undefined {
    const question = this.#question
    clearTimeout(question?.deadline)
    this.#question = undefined
    return question
  }

  #answer(): void {
    const question = this.#settle()
    if (question === undefined) return
    const { columns, error, rows } = question
    if (error !== undefined) question.reject(error)
    else if (columns !== COLUMNS) {
      question.reject(misfit(`it returns ${columns} columns; return two, the name and the secret`))
    } else {
      try {
        question.resolve(readDataRows(rows))
      } catch (broken) {
        question.reject(broken)
      }
    }
  }
}

function misfit(what: string): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, `auth_query is of no use: ${what}`)
}

function tooSlow(): PoolerError {
  return new PoolerError(
    SqlState.CannotConnectNow,
    'auth_query was not answered in time (server_connect_timeout)',
  )
}

function readServerError(buffer: Buffer, bodyStart: number, end: number): PoolerError {
  const {
    sqlState = SqlState.ConnectionFailure,
    message,
    detail,
    hint,
  } = readErrorFields(buffer, bodyStart, end)
  return new PoolerError(sqlState, message ?? 'the server reported an error without a message', {
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  })
}
