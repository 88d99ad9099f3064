import { ServerExchange } from '../auth/server-exchange.ts'
import type { UserSecret } from '../auth/user-secret.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import { endpointName } from '../net/endpoint-name.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { Endpoint, Transport } from '../net/transport.ts'
import { ServerStatements } from '../prepared/server-statements.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import { BodyReader } from '../protocol/body-reader.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, backendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import { encodeStartupMessage } from '../protocol/startup.ts'
import { encryptedConnect } from './encrypted-connect.ts'
import type { StartupParameters } from './lessee.ts'
import { ServerConnection, type ServerHandler } from './server-connection.ts'

/** All that is needed to open connections of one pool. */
export interface ServerTarget {
  readonly endpoint: Endpoint
  /** The database's name on the server. */
  readonly dbname: string
  readonly user: string
  /** Further parameters of the StartupMessage: the session's own defaults. */
  readonly startup?: StartupParameters
  readonly secret: UserSecret | undefined
  /** server_connect_timeout in milliseconds, for connect and login together; 0 = none. */
  readonly connectTimeoutMs: number
  /** max_prepared_statements; 0 = statements are not tracked. */
  readonly maxStatements: number
  /** Null where nobody reads them. */
  readonly counts?: ConnectionCounts | null
}

const SHUTTING_DOWN = new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down')

/**
 * Opens a connection to PostgreSQL and logs in. The result is ready for a query; its handler is still the
 * login's and has to be replaced. `signal` gives it up: with a PoolerError as its reason PostgreSQL may take its time to
 * end what it has of the session, otherwise nothing is waited for. Rejects, after the socket is gone, with a PoolerError: the server's own (with `response` set) where
 * it refused, 57P03 where it could not be reached, 08006 where it went away or TLS could not be agreed on.
 */
export async function openServer(
  target: ServerTarget,
  transport: Transport,
  queue: FlushQueue,
  registry: StatementRegistry,
  signal: AbortSignal,
): Promise<ServerConnection> {
  const abort = new AbortController()
  let isWaitedFor = true
  const onStop = (): void => {
    isWaitedFor = signal.reason instanceof PoolerError
    abort.abort(isWaitedFor ? signal.reason : SHUTTING_DOWN)
  }
  signal.addEventListener('abort', onStop, { once: true })
  if (signal.aborted) onStop()
  const deadline =
    target.connectTimeoutMs > 0
      ? setTimeout(() => {
          isWaitedFor = false
          abort.abort(connectTimeoutError(target.endpoint))
        }, target.connectTimeoutMs)
      : undefined
  try {
    const { connection, tls } = await encryptedConnect(target.endpoint, transport, abort.signal).catch(
      (error: unknown) => {
        throw error instanceof PoolerError ? error : unreachable(target.endpoint, error)
      },
    )
    const dialogue = new LoginDialogue(target, tls?.channelBinding ?? undefined)
    const statements = target.maxStatements > 0 ? new ServerStatements(registry, target.maxStatements) : null
    const server = new ServerConnection(connection, queue, dialogue, statements, target.counts)
    server.endpoint = target.endpoint
    server.tls = tls
    const onAbort = (): void => {
      server.close(abort.signal.reason as PoolerError)
      if (!isWaitedFor) server.wire.destroy()
    }
    abort.signal.addEventListener('abort', onAbort, { once: true })
    server.sendStartup(
      encodeStartupMessage([['user', target.user], ['database', target.dbname], ...(target.startup ?? [])]),
    )
    try {
      await dialogue.finished
    } catch (error) {
      await server.untilGone()
      throw error
    }
    abort.signal.removeEventListener('abort', onAbort)
    return server
  } finally {
    clearTimeout(deadline)
    signal.removeEventListener('abort', onStop)
  }
}

/** Before AuthenticationOk these would pass for the end of a login in which nobody has proved anything. */
const AFTER_AUTHENTICATION: ReadonlySet<number> = new Set([
  BackendType.ParameterStatus,
  BackendType.BackendKeyData,
  BackendType.ReadyForQuery,
])

/** The handler of a server that is logging in. */
class LoginDialogue implements ServerHandler {
  readonly finished: Promise<void>
  readonly #exchange: ServerExchange
  #resolve!: () => void
  #reject!: (error: PoolerError) => void
  /** AuthenticationOk has come, at the end of a dialogue that was what it should be. */
  #authenticated = false
  /** The server's own refusal; the close that follows it must not hide it. */
  #refusal: PoolerError | null = null

  constructor({ user, secret }: ServerTarget, channelBinding: Buffer | undefined) {
    this.#exchange = new ServerExchange({
      user,
      secret,
      ...(channelBinding === undefined ? {} : { channelBinding }),
    })
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  onServerMessage(
    server: ServerConnection,
    type: number,
    total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    if (!this.#authenticated && AFTER_AUTHENTICATION.has(type)) throw unexpected(type)
    switch (type) {
      case BackendType.Authentication:
        this.#authenticate(server, buffer, start, end)
        break
      case BackendType.ParameterStatus:
        server.noteParameter(buffer, start, end)
        break
      case BackendType.BackendKeyData: {
        const reader = new BodyReader(buffer, start + HEADER_BYTES, end, 'BackendKeyData')
        server.processId = reader.int32()
        server.secret = Buffer.from(reader.bytes(reader.remaining))
        break
      }
      case BackendType.ErrorResponse:
        this.#refusal = serverRefusal(buffer, start, end, total)
        server.close(this.#refusal)
        break
      case BackendType.ReadyForQuery:
        server.defaults = server.parameters
        server.framer.hold()
        this.#resolve()
        break
      case BackendType.NoticeResponse:
        break
      default:
        throw unexpected(type)
    }
    return Verdict.Drop
  }

  onServerRun(): void {
    throw new PoolerError(SqlState.ProtocolViolation, 'unexpected data during login')
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(_server: ServerConnection, error: PoolerError): void {
    this.#reject(this.#refusal ?? error)
  }

  #authenticate(server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    const step = this.#exchange.onAuthentication(buffer, start + HEADER_BYTES, end)
    if (!(step instanceof Promise)) {
      this.#take(server, step)
      return
    }
    server.framer.hold()
    step.then(
      (done) => {
        this.#take(server, done)
        this.#resume(server)
      },
      (error: unknown) => server.close(asPoolerError(error)),
    )
  }

  #take(server: ServerConnection, step: Awaited<ReturnType<ServerExchange['onAuthentication']>>): void {
    if (step.kind === 'send') server.send(step.message)
    else if (step.kind === 'failed') server.close(step.error)
    else if (step.kind === 'ok') this.#authenticated = true
  }

  #resume(server: ServerConnection): void {
    try {
      server.framer.resume()
    } catch (error) {
      server.close(asPoolerError(error))
    }
  }
}

function unexpected(type: number): PoolerError {
  return new PoolerError(SqlState.ProtocolViolation, `unexpected ${backendTypeName(type)} during login`)
}

/** The server's own ErrorResponse, to be passed on to clients as it came. */
function serverRefusal(buffer: Buffer, start: number, end: number, total: number): PoolerError {
  const fields = readErrorFields(buffer, start + HEADER_BYTES, end)
  const message = fields.message ?? 'the server refused the login without a message'
  const whole = end - start === total
  return new PoolerError(fields.sqlState ?? SqlState.ConnectionFailure, message, {
    ...(fields.detail === undefined ? {} : { detail: fields.detail }),
    ...(fields.hint === undefined ? {} : { hint: fields.hint }),
    ...(whole && fields.sqlState !== undefined ? { response: Buffer.from(buffer.subarray(start, end)) } : {}),
  })
}

/** The system says `error` about this endpoint: 57P03. */
export function unreachable(endpoint: Endpoint, error: unknown): PoolerError {
  const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  const message = `the server cannot be reached (${reason}) at ${endpointName(endpoint)}`
  return new PoolerError(SqlState.CannotConnectNow, message, { cause: error })
}

/** server_connect_timeout is over, at this endpoint or before one was known: 57P03. */
export function connectTimeoutError(endpoint?: Endpoint): PoolerError {
  const where = endpoint === undefined ? '' : ` at ${endpointName(endpoint)}`
  return new PoolerError(
    SqlState.CannotConnectNow,
    `the server did not complete the login in time (server_connect_timeout)${where}`,
  )
}

function asPoolerError(error: unknown): PoolerError {
  if (error instanceof PoolerError) return error
  return new PoolerError(SqlState.ConnectionFailure, `login to the server failed: ${String(error)}`, {
    cause: error,
  })
}
