import { PoolerError } from '../errors.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { Connection, PeerCertificate, TlsSession } from '../net/transport.ts'
import { violationKind } from '../net/violation-kind.ts'
import { PauseReason, Wire, type WireOwner } from '../net/wire.ts'
import { encodePoolerError } from '../protocol/error-response.ts'
import { Framer, type MessageHandler, type MessageTable, type Verdict } from '../protocol/framer.ts'
import { UNTYPED } from '../protocol/message-counts.ts'
import type { ReplicationMode } from '../protocol/replication-mode.ts'
import { ParameterSet } from '../server/parameter-set.ts'
import { clientCloseClass } from './client-close-class.ts'
import { CLIENT_MESSAGES, LOGIN_MESSAGES, rejectClientMessage } from './client-messages.ts'
import { ClientState } from './client-state.ts'

/** Who is responsible for a client at the moment: its login, then its session. */
export interface ClientHandler {
  onClientMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict
  /** A run of bytes that nobody looked at, or that is forwarded as it came. */
  onClientRun(buffer: Buffer, start: number, end: number): void
  onClientChunkEnd(): void
  /** The socket to the client is full, or has drained again. */
  onClientCongestion(congested: boolean): void
  /** The client broke the protocol; nothing of what it sends is delivered any more. */
  onClientError(error: PoolerError): void
  /** The client will send nothing more, but may still read. */
  onClientEnd(): void
  /** The connection is closed, by whoever; called once. */
  onClientClosed(reason: string): void
}

/** Raw bytes before the first message with a type byte. */
export interface StartupHandler {
  /** Returns how far it read; the rest belongs to the next phase. */
  onStartupData(buffer: Buffer, start: number, end: number): number
  /** The TLS handshake that it started is done. */
  onStartupEncrypted(session: TlsSession): void
}

/** What is kept for a client that sends more while it waits for a server. */
const MAX_HELD_BYTES = 64 * 1024

/**
 * ClientConnection: one application's connection. It owns the socket and what the client knows of its
 * session: user, database, parameters, cancel key. What it may do is its handler's business.
 */
export class ClientConnection implements WireOwner, MessageHandler {
  readonly wire: Wire
  readonly acceptedMs = Date.now()
  /** For SHOW CLIENTS and KILL_CLIENT; given by whoever counts connections. */
  id = 0
  framer: Framer
  state: ClientState = ClientState.Login
  handler: ClientHandler
  /** Set until the StartupMessage has been read. */
  startup: StartupHandler | null = null
  user = ''
  database = ''
  /** The parameters as the client believes them to be, and as its servers must have them. */
  parameters = ParameterSet.empty
  /** Whether it is a replication client, which gets a server connection for itself alone. */
  replication: ReplicationMode = 'none'
  /**
   * What the client asked for at startup, lower-case names; RESET returns to these. For a replication client: what its
   * server connection is opened with, as it came.
   */
  startupParameters: ReadonlyMap<string, string> = new Map()
  /** What it sends is read although it does not read: where that asks for no answers. */
  readsWhenFull = false
  /** The minor version of the protocol that is spoken with it. */
  protocolMinor = 0
  /** The SQLSTATE of all errors of the pooler's own, where error_codes wants one for all. */
  errorCode: string | undefined = undefined
  /** Told every error that the client is ended with. */
  noteError: (error: PoolerError, client: ClientConnection) => void = () => {}
  /** How it is encrypted, for logs and SHOW CLIENTS; null where it is not. */
  tls: TlsSession | null = null

  readonly #counts: ConnectionCounts | null

  constructor(
    connection: Connection,
    queue: FlushQueue,
    handler: ClientHandler,
    counts: ConnectionCounts | null = null,
  ) {
    this.handler = handler
    this.#counts = counts
    if (counts !== null) counts.clients.opened += 1
    this.framer = this.#createFramer(LOGIN_MESSAGES)
    this.wire = new Wire(connection, queue, this)
  }

  /** Who it is, for logs. */
  get identity(): { clientId: number; client: string; database: string; user: string } {
    return { clientId: this.id, client: this.wire.peer, database: this.database, user: this.user }
  }

  /** For how long it has been there. */
  get ageSeconds(): number {
    return Math.floor((Date.now() - this.acceptedMs) / 1000)
  }

  get encrypted(): boolean {
    return this.tls !== null
  }

  /** The client's certificate, if client_tls_ca_file vouches for it. */
  get peerCertificate(): PeerCertificate | null {
    return this.tls?.peerCertificate ?? null
  }

  /** tls-server-end-point of the certificate that the client was shown (RFC 5929): what SCRAM binds to. */
  get channelBinding(): Buffer | null {
    return this.tls?.channelBinding ?? null
  }

  /** Messages for the client that are the pooler's own, or a server's that were looked at; with this turn's write. */
  send(buffer: Buffer, start = 0, end = buffer.length): void {
    if (this.#counts !== null) this.#counts.traffic.ownToClients.addAll(buffer, start, end)
    this.wire.append(buffer, start, end)
  }

  /** A run of a server's bytes as they came. */
  forward(buffer: Buffer, start: number, end: number): void {
    this.wire.append(buffer, start, end)
  }

  /** The answer to an SSLRequest or GSSENCRequest: a single byte. */
  sendByte(byte: Buffer): void {
    this.#counts?.traffic.ownToClients.add(UNTYPED, byte.length)
    this.wire.append(byte)
  }

  /** A packet without a type byte has come: it does not pass the framer. */
  noteStartupPacket(bytes: number): void {
    const { fromClients } = this.#counts?.traffic ?? {}
    fromClients?.read.add(UNTYPED, bytes)
    fromClients?.dropped.add(UNTYPED, bytes)
  }

  /** From here on all messages of a logged-in client are understood, or those in `messages`. */
  leaveLogin(messages: MessageTable = CLIENT_MESSAGES): void {
    const held = this.framer.takeHeld()
    this.framer.stop()
    this.framer = this.#createFramer(messages)
    if (held !== null) this.framer.keep(held)
  }

  /** Offers the messages again that were held back. */
  resumeHeld(): void {
    try {
      this.framer.resume()
      if (this.framer.heldBytes <= MAX_HELD_BYTES) this.wire.resume(PauseReason.Held)
      this.handler.onClientChunkEnd()
    } catch (error) {
      this.#caught(error)
    }
  }

  /**
   * Ends the connection and tells its handler: the one place where a client connection is closed. With an
   * error the client is told; `reason` is for logs and metrics.
   */
  close(reason: string, error?: PoolerError): void {
    this.#end(reason, error, false)
  }

  /** The same for a client that has said Terminate or ended its half, without an error. */
  part(reason: string): void {
    this.#end(reason, undefined, true)
  }

  #end(reason: string, error: PoolerError | undefined, hasLeft: boolean): void {
    if (this.state === ClientState.Closed) return
    this.state = ClientState.Closed
    this.#counts?.clients.closed.note(clientCloseClass(reason, error))
    this.framer.stop()
    if (error !== undefined) {
      this.noteError(error, this)
      this.send(encodePoolerError(error, this.errorCode))
    }
    // TLS has a goodbye of its own.
    if (hasLeft && this.tls === null) this.wire.part()
    else this.wire.close()
    this.handler.onClientClosed(reason)
  }

  /** Closes the connection because of an error that the client caused. */
  fail(error: PoolerError): void {
    this.close(error.message, error)
  }

  onData(buffer: Buffer, start: number, end: number): void {
    try {
      const from = this.startup === null ? start : this.startup.onStartupData(buffer, start, end)
      if (from === end || this.state === ClientState.Closed) return
      this.framer.push(buffer, from, end)
      if (this.framer.heldBytes > MAX_HELD_BYTES) this.wire.pause(PauseReason.Held)
      this.handler.onClientChunkEnd()
    } catch (error) {
      this.#caught(error)
    }
  }

  onMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict {
    return this.handler.onClientMessage(type, total, buffer, start, end)
  }

  onRun(buffer: Buffer, start: number, end: number): void {
    this.handler.onClientRun(buffer, start, end)
  }

  onSecure(session: TlsSession): void {
    this.tls = session
    try {
      this.startup?.onStartupEncrypted(session)
    } catch (error) {
      this.#caught(error)
    }
  }

  onCongested(): void {
    // A client that does not read may not ask for more, as with PostgreSQL.
    if (!this.readsWhenFull) this.wire.pause(PauseReason.OutputFull)
    this.handler.onClientCongestion(true)
  }

  onDrained(): void {
    this.wire.resume(PauseReason.OutputFull)
    this.handler.onClientCongestion(false)
  }

  onPeerEnd(): void {
    this.handler.onClientEnd()
  }

  onPeerGone(error: Error | null): void {
    this.close(error === null ? 'client unexpected eof' : `client connection was lost: ${error.message}`)
  }

  #createFramer(messages: MessageTable): Framer {
    return new Framer(this, messages, rejectClientMessage, this.#counts?.traffic.fromClients)
  }

  /** A client's mistake costs its own connection; anything else is ours and must not be hidden. */
  #caught(error: unknown): void {
    if (!(error instanceof PoolerError)) throw error
    this.#counts?.clientViolations.note(violationKind(error))
    this.framer.stop()
    if (this.state !== ClientState.Closed) this.handler.onClientError(error)
  }
}
