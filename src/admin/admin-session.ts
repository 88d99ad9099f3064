import type { ClientConnection, ClientHandler } from '../client/client-connection.ts'
import { CONSOLE_HEAD_BYTES } from '../client/client-messages.ts'
import { ClientState } from '../client/client-state.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { BodyReader } from '../protocol/body-reader.ts'
import { encodePoolerError } from '../protocol/error-response.ts'
import { STATEMENT } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { FrontendType, frontendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import {
  CLOSE_COMPLETE,
  encodeBackendKeyData,
  encodeParameterStatus,
  PARSE_COMPLETE,
  READY_IDLE,
} from '../protocol/responses.ts'
import {
  BIND_COMPLETE,
  EMPTY_QUERY_RESPONSE,
  encodeCommandComplete,
  encodeDataRow,
  encodeRowDescription,
  NO_DATA,
  NO_PARAMETERS,
} from '../protocol/result-set.ts'
import type { AdminContext } from './admin-context.ts'
import type { Access, Outcome } from './command.ts'
import { COMPATIBLE_VERSION } from './compatible-version.ts'
import { type Prepared, prepareCommand } from './prepare-command.ts'

interface Running {
  readonly prepared: Prepared
  readonly simple: boolean
  /** Ends it with what is to be answered; does nothing when it has ended already. */
  readonly done: (act: () => void) => void
}

/**
 * AdminSession: one client of the admin console, in the simple and in the extended protocol. It owns the client's
 * prepared statements and portals; what commands do is their own business.
 */
export class AdminSession implements ClientHandler {
  readonly client: ClientConnection
  readonly access: Access
  readonly #context: AdminContext
  readonly #ended: (reason: string) => void
  readonly #statements = new Map<string, Prepared | null>()
  readonly #portals = new Map<string, Prepared | null>()
  #skipToSync = false
  /** A command that takes its time: what the client sends meanwhile waits. */
  #running: Running | null = null

  constructor(
    client: ClientConnection,
    access: Access,
    context: AdminContext,
    ended: (reason: string) => void,
  ) {
    this.client = client
    this.access = access
    this.#context = context
    this.#ended = ended
    client.handler = this
  }

  /** The values are PgBouncer's. */
  start(): void {
    const { client } = this
    client.state = ClientState.Active
    const values = {
      server_version: `${COMPATIBLE_VERSION}/bouncer`,
      client_encoding: 'UTF8',
      server_encoding: 'UTF8',
      DateStyle: 'ISO',
      TimeZone: 'GMT',
      standard_conforming_strings: 'on',
      is_superuser: 'on',
    }
    for (const [name, value] of Object.entries(values)) client.send(encodeParameterStatus(name, value))
    const { processId, secret } = this.#context.multiplexer.addCancelKey(this)
    client.send(encodeBackendKeyData(processId, secret))
    client.send(READY_IDLE)
    client.resumeHeld()
  }

  onClientMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict {
    if (type === FrontendType.Terminate) {
      this.client.close('client close request')
      return Verdict.Drop
    }
    if (this.#running !== null) return Verdict.Hold
    if (this.#skipToSync && type !== FrontendType.Sync) return Verdict.Drop
    const simple = type === FrontendType.Query
    try {
      const body = new BodyReader(buffer, start + HEADER_BYTES, end, frontendTypeName(type))
      if (total > CONSOLE_HEAD_BYTES) throw tooLong()
      if (simple) this.#query(body.cstring())
      else this.#extended(type, body)
    } catch (error) {
      this.#failed(error, simple)
    }
    return Verdict.Drop
  }

  onClientRun(): void {}

  onClientChunkEnd(): void {}

  onClientCongestion(): void {}

  onClientError(error: PoolerError): void {
    this.client.fail(error)
  }

  onClientEnd(): void {
    this.client.close('client closed the connection')
  }

  onClientClosed(reason: string): void {
    this.#context.multiplexer.removeCancelKey(this)
    this.#running?.prepared.interrupt?.()
    this.#ended(reason)
  }

  /** Ctrl-C: the command under way is given up, if it can be. */
  cancel(): void {
    const running = this.#running
    if (running === null || running.prepared.interrupt === undefined) return
    running.done(() => this.#failed(canceled(), running.simple))
    running.prepared.interrupt()
  }

  /** The pooler ends: what a command waits for stays as it is. */
  stop(error: PoolerError): void {
    this.#running = null
    this.client.fail(error)
  }

  /** A simple query: one command. */
  #query(sql: string): void {
    const prepared = prepareCommand(sql, this.access, this.#context)
    if (prepared === null) {
      this.client.send(EMPTY_QUERY_RESPONSE)
      this.client.send(READY_IDLE)
      return
    }
    this.#run(prepared, true)
  }

  #extended(type: number, body: BodyReader): void {
    const { client } = this
    switch (type) {
      case FrontendType.Parse: {
        const name = body.cstring()
        this.#statements.set(name, prepareCommand(body.cstring(), this.access, this.#context))
        client.send(PARSE_COMPLETE)
        break
      }
      case FrontendType.Bind: {
        const portal = body.cstring()
        this.#portals.set(portal, known(this.#statements, body.cstring(), 'prepared statement', '26000'))
        client.send(BIND_COMPLETE)
        break
      }
      case FrontendType.Describe: {
        const isStatement = body.byte() === STATEMENT
        const name = body.cstring()
        const prepared = isStatement
          ? known(this.#statements, name, 'prepared statement', '26000')
          : known(this.#portals, name, 'portal', '34000')
        if (isStatement) client.send(NO_PARAMETERS)
        client.send(prepared?.columns === undefined ? NO_DATA : encodeRowDescription(prepared.columns))
        break
      }
      case FrontendType.Execute: {
        const prepared = known(this.#portals, body.cstring(), 'portal', '34000')
        if (prepared === null) client.send(EMPTY_QUERY_RESPONSE)
        else this.#run(prepared, false)
        break
      }
      case FrontendType.Close: {
        const names = body.byte() === STATEMENT ? this.#statements : this.#portals
        names.delete(body.cstring())
        client.send(CLOSE_COMPLETE)
        break
      }
      case FrontendType.Sync:
        this.#skipToSync = false
        this.#portals.clear()
        client.send(READY_IDLE)
        break
      case FrontendType.Flush:
        break
      default:
        throw new PoolerError(SqlState.ProtocolViolation, `unexpected ${frontendTypeName(type)} message`)
    }
  }

  #run(prepared: Prepared, simple: boolean): void {
    const outcome = prepared.run()
    if (!(outcome instanceof Promise)) {
      this.#answer(outcome, simple)
      return
    }
    const done = (act: () => void): void => {
      if (this.#running !== running) return
      this.#running = null
      if (this.client.state === ClientState.Closed) return
      act()
      this.client.resumeHeld()
    }
    const running: Running = { prepared, simple, done }
    this.#running = running
    outcome.then(
      (answer) => done(() => this.#answer(answer, simple)),
      (error: unknown) => done(() => this.#failed(error, simple)),
    )
  }

  #answer({ tag, table, notice }: Outcome, simple: boolean): void {
    const { client } = this
    if (notice !== undefined) client.send(notice)
    if (table !== undefined) {
      if (simple) client.send(encodeRowDescription(table.columns))
      for (const row of table.rows) client.send(encodeDataRow(row))
    }
    client.send(encodeCommandComplete(tag))
    if (simple) client.send(READY_IDLE)
  }

  /** An operator's mistake leaves the console open; a broken message ends it. */
  #failed(error: unknown, simple: boolean): void {
    if (!(error instanceof PoolerError)) throw error
    if (error.sqlState === SqlState.ProtocolViolation && error.severity === 'FATAL') throw error
    this.client.send(encodePoolerError(asError(error), this.client.errorCode))
    if (simple) this.client.send(READY_IDLE)
    else this.#skipToSync = true
  }
}

function known(
  names: ReadonlyMap<string, Prepared | null>,
  name: string,
  what: string,
  sqlState: string,
): Prepared | null {
  const prepared = names.get(name)
  if (prepared === undefined)
    throw new PoolerError(sqlState, `${what} "${name}" does not exist`, { severity: 'ERROR' })
  return prepared
}

function asError({ sqlState, message, detail, hint }: PoolerError): PoolerError {
  return new PoolerError(sqlState, message, {
    severity: 'ERROR',
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  })
}

function canceled(): PoolerError {
  return new PoolerError(SqlState.QueryCanceled, 'canceling statement due to user request')
}

function tooLong(): PoolerError {
  return new PoolerError(SqlState.SyntaxError, 'bad arguments', { severity: 'ERROR' })
}
