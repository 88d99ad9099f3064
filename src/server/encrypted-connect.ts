import { PoolerError, SqlState } from '../errors.ts'
import { endpointName } from '../net/endpoint-name.ts'
import { POSTGRESQL_ALPN } from '../net/tls-context.ts'
import type { ServerTls } from '../net/tls-directory.ts'
import type { Connection, Endpoint, SocketHandler, TlsSession, Transport } from '../net/transport.ts'
import { BodyWriter } from '../protocol/body-writer.ts'

/**
 * encryptedConnect: a connection to PostgreSQL, encrypted as the endpoint demands and before the first message
 * goes over it. Called by the login and by CancelRequests, so that both are equally safe. There is no way back
 * to plain text: neither after a refusal that the mode forbids, nor after a handshake that failed.
 * Source: PostgreSQL documentation, "SSL Session Encryption"; libpq's settings sslmode and sslnegotiation.
 */

/** A connection that is ready for its StartupMessage or CancelRequest. */
export interface ServerSocket {
  readonly connection: Connection
  /** Null where it is not encrypted. */
  readonly tls: TlsSession | null
}

type EncryptedTls = Exclude<ServerTls, { readonly mode: 'disable' }>

const SSL_REQUEST = new BodyWriter().beginUntyped().int32(80877103).end().take()
const WILLING = 'S'.charCodeAt(0)
const UNWILLING = 'N'.charCodeAt(0)
const ERROR_RESPONSE = 'E'.charCodeAt(0)

/**
 * Connects. Rejects with the signal's reason when it aborts, with the system's error where the server cannot
 * be reached, and with PoolerError 08006 (no TLS though it is demanded, handshake or verification failed) or
 * 08P01 (bytes that may come from somebody in between).
 */
export async function encryptedConnect(
  endpoint: Endpoint,
  transport: Transport,
  signal: AbortSignal,
): Promise<ServerSocket> {
  const tls: ServerTls =
    'path' in endpoint || endpoint.tls === undefined ? { mode: 'disable' } : endpoint.tls()
  const connection = await transport.connect(endpoint, signal)
  if ('path' in endpoint || tls.mode === 'disable') return { connection, tls: null }
  const negotiation = new Negotiation(connection, tls, endpointName(endpoint), endpoint.host)
  const onAbort = (): void => negotiation.fail(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return { connection, tls: await negotiation.finished }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** The handler of a connection until it is encrypted, or known not to be. */
class Negotiation implements SocketHandler {
  readonly finished: Promise<TlsSession | null>
  readonly #connection: Connection
  readonly #tls: EncryptedTls
  readonly #server: string
  readonly #host: string
  #resolve!: (session: TlsSession | null) => void
  #reject!: (error: unknown) => void
  #answered: boolean

  constructor(connection: Connection, tls: EncryptedTls, server: string, host: string) {
    this.#connection = connection
    this.#tls = tls
    this.#server = server
    this.#host = host
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#answered = tls.direct
    connection.setHandler(this)
    if (tls.direct) this.#handshake()
    else connection.write(SSL_REQUEST)
  }

  /** Gives up; the first reason counts. */
  fail(reason: unknown): void {
    this.#reject(reason)
    this.#connection.destroy()
  }

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#answered || end - start > 1) {
      this.fail(this.#error(SqlState.ProtocolViolation, 'received unencrypted data after SSL response'))
      return
    }
    this.#answered = true
    const answer = buffer[start]
    if (answer === WILLING) this.#handshake()
    else if (answer === UNWILLING) this.#withoutTls()
    // What an unauthenticated server says in an ErrorResponse is not passed on (CVE-2024-10977 of libpq).
    else if (answer === ERROR_RESPONSE)
      this.fail(this.#error(SqlState.ConnectionFailure, 'server sent an error response during SSL exchange'))
    else this.fail(this.#error(SqlState.ProtocolViolation, 'received invalid response to SSL negotiation'))
  }

  onSecure(session: TlsSession): void {
    if (this.#tls.direct && session.alpn !== POSTGRESQL_ALPN) {
      const message =
        'direct SSL connection was established without ALPN protocol negotiation extension ' +
        '(PostgreSQL has direct TLS since version 17: set server_tls_sslnegotiation to "postgres")'
      this.fail(this.#error(SqlState.ConnectionFailure, message))
    } else this.#resolve(session)
  }

  onDrain(): void {}

  onEnd(): void {
    const what = this.#answered ? 'during the TLS handshake' : 'instead of answering SSLRequest'
    this.fail(this.#error(SqlState.ConnectionFailure, `server closed the connection ${what}`))
  }

  onClose(error: Error | null): void {
    const reason = error?.message ?? 'the connection was lost'
    this.fail(this.#error(SqlState.ConnectionFailure, reason, error))
  }

  #handshake(): void {
    const { context } = this.#tls
    if (this.#connection.startTls === undefined) {
      this.fail(this.#error(SqlState.ConnectionFailure, 'this transport has no TLS'))
    } else this.#connection.startTls({ side: 'client', context, host: this.#host })
  }

  #withoutTls(): void {
    const { mode } = this.#tls
    if (mode === 'allow' || mode === 'prefer') {
      this.#resolve(null)
      return
    }
    const message = `server does not support SSL, but SSL was required (server_tls_sslmode "${mode}")`
    this.fail(this.#error(SqlState.ConnectionFailure, message))
  }

  #error(sqlState: SqlState, message: string, cause: unknown = null): PoolerError {
    return new PoolerError(sqlState, `cannot connect to the server ${this.#server}: ${message}`, { cause })
  }
}
