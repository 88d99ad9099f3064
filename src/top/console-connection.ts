import { parseSecret } from '../auth/user-secret.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { FlushQueue } from '../net/flush-queue.ts'
import { NodeTransport } from '../net/node-transport.ts'
import { StatementRegistry } from '../prepared/statement-registry.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { encodeQuery } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType as B, HEADER_BYTES } from '../protocol/message-type.ts'
import { readColumnNames, readDataRows } from '../protocol/parameterised-query.ts'
import type { ServerConnection, ServerHandler } from '../server/server-connection.ts'
import { openServer } from '../server/server-login.ts'
import { ServerState } from '../server/server-state.ts'
import type { TopTarget } from './top-target.ts'

/** A row of an answer: its values by column. */
export type Row = Readonly<Record<string, string>>

/** For the login, and for each answer. */
const TIMEOUT_MS = 10_000

interface Question {
  readonly resolve: (rows: Row[]) => void
  readonly reject: (error: PoolerError) => void
  readonly deadline: NodeJS.Timeout
  columns: string[]
  readonly rows: Buffer[]
  error: PoolerError | undefined
}

/**
 * ConsoleConnection: one client of an admin console, which to its client is a PostgreSQL server. It asks one question
 * at a time, in the simple protocol.
 */
export class ConsoleConnection implements ServerHandler {
  readonly #server: ServerConnection
  #question: Question | undefined

  private constructor(server: ServerConnection) {
    this.#server = server
    server.handler = this
    server.state = ServerState.Active
    server.framer.resume()
  }

  /** Rejects with a PoolerError: nobody answers, a wrong password, not allowed. */
  static async open({ endpoint, database, user, password }: TopTarget): Promise<ConsoleConnection> {
    const queue = new FlushQueue()
    const target = {
      endpoint,
      dbname: database,
      user,
      secret: password === undefined ? undefined : parseSecret(password),
      startup: new Map([['application_name', 'pooler top']]),
      connectTimeoutMs: TIMEOUT_MS,
      maxStatements: 0,
    }
    const { signal } = new AbortController()
    return new ConsoleConnection(
      await openServer(target, new NodeTransport(queue), queue, new StatementRegistry(), signal),
    )
  }

  /** Rejects with a PoolerError: the console's own, or that it has gone. */
  ask(sql: string): Promise<Row[]> {
    if (this.#server.state === ServerState.Closed) return Promise.reject(gone())
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => this.#server.close(tooSlow()), TIMEOUT_MS)
      this.#question = { resolve, reject, deadline, columns: [], rows: [], error: undefined }
      this.#server.send(encodeQuery(sql))
    })
  }

  close(): void {
    this.#server.close(gone())
  }

  onServerMessage(
    _server: ServerConnection,
    type: number,
    _total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    const question = this.#question
    if (question === undefined) return Verdict.Drop
    if (type === B.RowDescription) question.columns = readColumnNames(buffer, start + HEADER_BYTES, end)
    if (type === B.ErrorResponse) question.error = consoleRefusal(buffer, start + HEADER_BYTES, end)
    if (type === B.ReadyForQuery) this.#answer()
    return Verdict.Drop
  }

  /** Rows are what nobody looks at on other connections. */
  onServerRun(server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    server.framer.dropRun(buffer, start, end)
    this.#question?.rows.push(Buffer.from(buffer.subarray(start, end)))
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(_server: ServerConnection, error: PoolerError): void {
    const question = this.#settle()
    question?.reject(question.error ?? error)
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
    else {
      const values = readDataRows(Buffer.concat(rows))
      question.resolve(
        values.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? '']))),
      )
    }
  }
}

function consoleRefusal(buffer: Buffer, bodyStart: number, end: number): PoolerError {
  const { sqlState = SqlState.ConnectionFailure, message = 'the console refused without a message' } =
    readErrorFields(buffer, bodyStart, end)
  return new PoolerError(sqlState, message)
}

function gone(): PoolerError {
  return new PoolerError(SqlState.ConnectionFailure, 'the connection to the console is closed')
}

function tooSlow(): PoolerError {
  return new PoolerError(
    SqlState.ConnectionFailure,
    `the console has not answered for ${TIMEOUT_MS / 1000} s`,
  )
}
