import assert from 'node:assert'
import type { PendingLogin } from '../auth/login-throttle.ts'
import { isConsole } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { POSTGRESQL_ALPN } from '../net/tls-context.ts'
import type { TlsSession } from '../net/transport.ts'
import { Verdict } from '../protocol/framer.ts'
import { readReplicationMode } from '../protocol/replication-mode.ts'
import {
  encodeNegotiateProtocolVersion,
  PROTOCOL_MINOR,
  readStartupPacket,
  type StartupMessage,
  startupPacketBytes,
} from '../protocol/startup.ts'
import { parseStartupOptions } from '../protocol/startup-options.ts'
import { READ_ONLY_PARAMETERS } from '../server/parameter-status.ts'
import { ClientAuthentication } from './client-authentication.ts'
import type { ClientConnection, ClientHandler, StartupHandler } from './client-connection.ts'
import type { ClientLoginContext } from './client-login-context.ts'

/** PostgreSQL's answers to SSLRequest and GSSENCRequest. */
const OFFERED = Buffer.from('S')
const NOT_OFFERED = Buffer.from('N')
/** A TLS handshake begins with this byte, and no startup packet does: their length would be far too large. */
const TLS_HANDSHAKE = 0x16

/** Startup parameters that do not set a session parameter. */
const NOT_SESSION_PARAMETERS = new Set(['user', 'database', 'options', 'replication'])

/**
 * ClientLogin: everything from accept to authentication: SSLRequest, direct TLS, GSSENCRequest (answered N),
 * CancelRequest, StartupMessage. It is the client's handler until the session begins; what proves who the
 * client is, is its ClientAuthentication's business.
 * Source: PostgreSQL documentation, "Message Flow", "Start-up" and "SSL Session Encryption".
 */
export class ClientLogin implements ClientHandler, StartupHandler {
  readonly #context: ClientLoginContext
  #client!: ClientConnection
  /** A startup packet that did not come whole. */
  #partial: Buffer | null = null
  /** Nothing has arrived yet, so that the first byte may be one of TLS. */
  #untouched = true
  #sslAsked = false
  #gssAsked = false
  /** The handshake of direct TLS, or of the one that was asked for, is under way. */
  #handshake: 'direct' | 'asked' | null = null
  /** A CancelRequest came; nothing else may follow. */
  #canceling = false
  #authentication: ClientAuthentication | null = null
  /** Null only before start(), and for a connection that was one too many. */
  #pending: PendingLogin | null = null

  constructor(context: ClientLoginContext) {
    this.#context = context
  }

  start(client: ClientConnection): void {
    this.#client = client
    client.startup = this
    try {
      this.#pending = this.#context.throttle.enter(client.wire.remoteAddress)
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      this.#refuse(error)
    }
  }

  onStartupData(buffer: Buffer, start: number, end: number): number {
    if (this.#canceling) return end
    if (this.#untouched && buffer[start] === TLS_HANDSHAKE) {
      this.#startDirectTls(Buffer.from(buffer.subarray(start, end)))
      return end
    }
    this.#untouched = false
    if (this.#partial === null) return this.#readPackets(buffer, start, end)
    const whole = Buffer.concat([this.#partial, buffer.subarray(start, end)])
    this.#partial = null
    const consumed = this.#readPackets(whole, 0, whole.length)
    return end - (whole.length - consumed)
  }

  #readPackets(buffer: Buffer, start: number, end: number): number {
    const bytes = startupPacketBytes(buffer, start, end)
    if (bytes === undefined || end - start < bytes) {
      this.#partial = Buffer.from(buffer.subarray(start, end))
      return end
    }
    const packet = readStartupPacket(buffer.subarray(start, start + bytes))
    this.#client.noteStartupPacket(bytes)
    const rest = start + bytes
    switch (packet.kind) {
      case 'ssl-request':
        this.#checkEncryptionRequest('SSL', this.#sslAsked, rest < end)
        this.#sslAsked = true
        this.#answerSslRequest()
        break
      case 'gssenc-request':
        this.#checkEncryptionRequest('GSSAPI encryption', this.#gssAsked, rest < end)
        this.#gssAsked = true
        this.#client.sendByte(NOT_OFFERED)
        break
      case 'cancel':
        // As with PostgreSQL, the end of the connection says that the request has been delivered.
        void this.#context
          .cancel(packet.processId, packet.secret)
          .then(() => this.#client.close('cancel request'))
        this.#canceling = true
        this.#pending?.leave()
        return end
      case 'startup':
        this.#client.startup = null
        this.#startup(packet)
        break
    }
    return rest
  }

  /** Each may be asked once; bytes sent along with the question may come from somebody in between. */
  #checkEncryptionRequest(what: string, askedBefore: boolean, more: boolean): void {
    if (this.#client.encrypted) {
      throw new PoolerError(SqlState.ProtocolViolation, `received ${what} request on an encrypted connection`)
    }
    if (more) {
      throw new PoolerError(SqlState.ProtocolViolation, `received unencrypted data after ${what} request`)
    }
    if (askedBefore) {
      throw new PoolerError(SqlState.ProtocolViolation, `received a second ${what} request`)
    }
  }

  #answerSslRequest(): void {
    const client = this.#client
    const tls = this.#context.tls?.clients ?? null
    if (tls === null || !client.wire.canEncrypt) {
      client.sendByte(NOT_OFFERED)
      return
    }
    client.sendByte(OFFERED)
    this.#handshake = 'asked'
    client.wire.startTls({ side: 'server', context: tls.context })
  }

  #startDirectTls(received: Buffer): void {
    const client = this.#client
    const tls = this.#context.tls?.clients ?? null
    if (tls === null || !client.wire.canEncrypt) {
      const why = tls === null ? 'but client_tls_sslmode is "disable"' : 'which a unix socket never is'
      client.close(`received a direct TLS connection, ${why}`)
      return
    }
    this.#handshake = 'direct'
    client.wire.startTls({ side: 'server', context: tls.context, received })
  }

  /** From here on everything goes encrypted; the StartupMessage or a CancelRequest is next. */
  onStartupEncrypted(session: TlsSession): void {
    const direct = this.#handshake === 'direct'
    this.#handshake = null
    this.#untouched = false
    if (direct && session.alpn !== POSTGRESQL_ALPN) {
      throw new PoolerError(
        SqlState.ProtocolViolation,
        'received direct SSL connection request without ALPN protocol negotiation extension',
      )
    }
    const { client_tls_sslmode: mode } = this.#context.config.pooler
    if ((mode === 'verify-ca' || mode === 'verify-full') && session.peerCertificate === null) {
      throw new PoolerError(SqlState.InvalidAuthorization, 'connection requires a valid client certificate')
    }
  }

  /**
   * Where client_tls_sslmode demands TLS, a login without it ends before anything is said about users. Unix
   * sockets, which nobody can listen to, are exempt, as in PgBouncer and by PostgreSQL's `hostssl`.
   */
  #checkEncryption(): void {
    const { client_tls_sslmode: mode } = this.#context.config.pooler
    const demanded = mode === 'require' || mode === 'verify-ca' || mode === 'verify-full'
    if (!demanded || this.#client.encrypted || this.#client.wire.remoteAddress === '') return
    throw new PoolerError(SqlState.InvalidAuthorization, 'SSL required', {
      hint: 'Connect with sslmode=require or higher.',
    })
  }

  #startup(message: StartupMessage): void {
    this.#checkEncryption()
    const client = this.#client
    const { config } = this.#context
    const user = message.parameters.get('user') ?? ''
    if (user === '') {
      throw new PoolerError(
        SqlState.InvalidAuthorization,
        'no PostgreSQL user name specified in startup packet',
      )
    }
    const replication = readReplicationMode(message.parameters.get('replication'))
    client.replication = replication
    client.user = user
    client.database = message.parameters.get('database') || user
    client.protocolMinor = Math.min(message.minor, PROTOCOL_MINOR)
    const ignored = new Set(config.pooler.ignore_startup_parameters.map((name) => name.toLowerCase()))
    client.startupParameters =
      replication === 'none' ? sessionParameters(message, ignored) : ownParameters(message, ignored)
    if (message.minor > PROTOCOL_MINOR || message.protocolOptions.length > 0) {
      client.send(encodeNegotiateProtocolVersion(client.protocolMinor, message.protocolOptions))
    }
    this.#context.attempted(client)
    // Whoever looks after the pooler gets in when it is full, too.
    if (!isConsole(client.database)) this.#context.checkRoom()
    assert(this.#pending !== null, 'a connection that is one too many says nothing more')
    const refuse = (error: PoolerError): void => this.#refuse(error)
    this.#authentication = new ClientAuthentication(this.#context, client, this.#pending, refuse)
    this.#authentication.start()
  }

  #refuse(error: PoolerError): void {
    const client = this.#client
    if (client.wire.closed) return
    // Said here, with a better reason than that the connection is closed.
    this.#handshake = null
    this.#context.refused(client, error)
    client.fail(error)
  }

  onClientMessage(_type: number, _total: number, buffer: Buffer, start: number, end: number): Verdict {
    if (this.#authentication === null)
      throw new PoolerError(SqlState.ProtocolViolation, 'unexpected password message')
    this.#authentication.onMessage(buffer, start, end)
    return Verdict.Drop
  }

  onClientRun(): void {}

  onClientChunkEnd(): void {}

  onClientCongestion(): void {}

  onClientError(error: PoolerError): void {
    this.#refuse(error)
  }

  onClientEnd(): void {
    if (this.#canceling) return
    this.#client.close('client closed the connection during login')
  }

  onClientClosed(reason: string): void {
    // No password was wrong, but an operator looks for the cause of a failed handshake in the same place.
    if (this.#handshake !== null) {
      this.#context.refused(this.#client, new PoolerError(SqlState.ProtocolViolation, reason))
    }
    this.#pending?.leave()
    this.#context.closed(this.#client, reason)
  }
}

/** The session parameters that the client asks for; those written out win over those in `options`. `ignored` is in lower case. */
function sessionParameters(
  message: StartupMessage,
  ignored: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const parameters = parseStartupOptions(message.parameters.get('options') ?? '')
  for (const [spelling, value] of message.parameters) {
    const name = spelling.toLowerCase()
    if (!NOT_SESSION_PARAMETERS.has(name)) parameters.set(name, value)
  }
  for (const name of parameters.keys()) {
    if (READ_ONLY_PARAMETERS.has(name))
      throw new PoolerError('55P02', `parameter "${name}" cannot be changed`)
  }
  for (const name of ignored) parameters.delete(name)
  return parameters
}

/** What a replication client's own server connection is opened with, as it came: PostgreSQL judges it. */
function ownParameters(message: StartupMessage, ignored: ReadonlySet<string>): ReadonlyMap<string, string> {
  const isPassed = ([name]: [string, string]): boolean =>
    name !== 'user' && name !== 'database' && !ignored.has(name.toLowerCase())
  return new Map([...message.parameters].filter(isPassed))
}
