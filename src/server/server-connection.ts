import { PoolerError, SqlState } from '../errors.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { Connection, Endpoint, TlsSession } from '../net/transport.ts'
import { violationKind } from '../net/violation-kind.ts'
import { Wire, type WireOwner } from '../net/wire.ts'
import type { ServerStatements } from '../prepared/server-statements.ts'
import { BodyReader } from '../protocol/body-reader.ts'
import { TERMINATE } from '../protocol/extended-query.ts'
import { Framer, type MessageHandler, type Verdict } from '../protocol/framer.ts'
import { UNTYPED } from '../protocol/message-counts.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { ParameterSet } from './parameter-set.ts'
import { RequestTracker } from './request-tracker.ts'
import { serverCloseClass } from './server-close-class.ts'
import { SERVER_MESSAGES } from './server-messages.ts'
import { ServerState } from './server-state.ts'

/** What a session left behind on its server that the next client must not see; bits. */
export const Residue = {
  /** SET, SET ROLE, SET SESSION AUTHORIZATION of something that is not reported. */
  Settings: 1,
  /** PREPARE at SQL level. */
  Prepared: 2,
  /** LISTEN. */
  Listening: 4,
  /** DECLARE CURSOR, perhaps WITH HOLD. */
  Cursors: 8,
} as const

/** A session that PostgreSQL has not ended so long after it was told to is not waited for. */
const GONE_WITHIN_MS = 3000
/** Of a result that nobody wants any more so much is read; then PostgreSQL finds out at its next write, and ends. */
const MAX_UNWANTED_BYTES = 1024 * 1024
const ENDS_AFTER_WRITE_MS = 500

/** Who is responsible for a server at the moment: its login, its pool while idle, the session it is leased to. */
export interface ServerHandler {
  onServerMessage(
    server: ServerConnection,
    type: number,
    total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict
  /** All messages of a chunk have been handled. */
  onServerChunkEnd(server: ServerConnection): void
  /** A run of bytes that nobody looked at. */
  onServerRun(server: ServerConnection, buffer: Buffer, start: number, end: number): void
  /** The socket to the server is full, or has drained again. */
  onServerCongestion(server: ServerConnection, congested: boolean): void
  /** The connection is gone, by whatever cause; `error` says which. Called once. */
  onServerClosed(server: ServerConnection, error: PoolerError): void
}

/**
 * ServerConnection: one backend session. It owns what is true of that session: transaction status,
 * parameters, prepared statements, key data, replies owed. Who uses it is its handler's business.
 */
export class ServerConnection implements WireOwner, MessageHandler {
  readonly wire: Wire
  readonly framer: Framer
  readonly tracker = new RequestTracker()
  /** What it has prepared; null where statements are not tracked (session pooling, max_prepared_statements = 0). */
  readonly statements: ServerStatements | null
  readonly createdMs = Date.now()
  /** For SHOW SERVERS; given by whoever counts connections. */
  id = 0
  /** How it is encrypted; null where it is not. */
  tls: TlsSession | null = null
  /** Where it is connected to; what cancels it goes there, too. Set by the login. */
  endpoint: Endpoint | null = null
  /** How much of the jitter of server_lifetime is this one's, 0 to 1: those opened together do not end together. */
  readonly lifetimeJitter = Math.random()
  /** The pool's generation when it was opened: it is not used in a later one. */
  generation = 0
  /** Why it is closed when its lease ends, whatever its age; null = it may go on. */
  outdated: string | null = null
  /** It has worked or waited for work: not so one that has just logged in. */
  isUsed = false
  /** Another one was opened in its place already. */
  replaced = false
  state: ServerState = ServerState.Login
  handler: ServerHandler
  transactionStatus: TransactionStatus = TransactionStatus.Idle
  /** The session's parameters now: reported ones, and those that were applied for a client. */
  parameters = ParameterSet.empty
  /** The parameters as they were after login: what RESET returns to. */
  defaults = ParameterSet.empty
  /** Lower-case names of reported parameters to their spelling in ParameterStatus. */
  readonly reported = new Map<string, string>()
  processId = 0
  secret: Buffer = Buffer.alloc(0)
  /** The session that had it last, and what that session left behind (Residue bits). */
  lastLessee: object | null = null
  residue = 0
  /** The UnnamedStatement that this server has; null where it has none, or one that nobody will use. */
  unnamed: object | null = null
  /** CancelRequests for it that are under way; it is not reused before they are through. */
  cancelsInFlight = 0
  /** When its last lease ended, for parking and server_idle_timeout. */
  idleSinceMs = Date.now()
  /** False: to be closed instead of reused. */
  usable = true
  readonly #counts: ConnectionCounts | null
  #isGone = false
  readonly #whenGone: (() => void)[] = []

  constructor(
    connection: Connection,
    queue: FlushQueue,
    handler: ServerHandler,
    statements: ServerStatements | null,
    counts: ConnectionCounts | null = null,
  ) {
    this.handler = handler
    this.statements = statements
    this.#counts = counts
    if (counts !== null) counts.servers.opened += 1
    this.framer = new Framer(this, SERVER_MESSAGES, undefined, counts?.traffic.fromServers)
    this.wire = new Wire(connection, queue, this, true)
  }

  /** What it is, for logs. */
  get identity(): { serverId: number; server: string; serverPid: number } {
    const { endpoint, wire } = this
    const server = endpoint !== null && 'path' in endpoint ? endpoint.path : wire.peer
    return { serverId: this.id, server, serverPid: this.processId }
  }

  /** Messages for the server that are the pooler's own, or a client's in another form; with this turn's write. */
  send(buffer: Buffer, start = 0, end = buffer.length): void {
    if (this.#counts !== null) this.#counts.traffic.ownToServers.addAll(buffer, start, end)
    this.wire.append(buffer, start, end)
  }

  /** A run of a client's bytes as they came. */
  forward(buffer: Buffer, start: number, end: number): void {
    this.wire.append(buffer, start, end)
  }

  /** The StartupMessage, which has no type byte. */
  sendStartup(packet: Buffer): void {
    this.#counts?.traffic.ownToServers.add(UNTYPED, packet.length)
    this.wire.append(packet)
  }

  /**
   * Calls `listener` when the session is gone, at once if it is: PostgreSQL closes its end of the socket as the very
   * last of it, or is not waited for any longer. Whoever counts sessions counts this one until then.
   */
  whenGone(listener: () => void): void {
    if (this.#isGone) listener()
    else this.#whenGone.push(listener)
  }

  /** Resolves when the session is gone. */
  untilGone(): Promise<void> {
    return new Promise((resolve) => this.whenGone(resolve))
  }

  /** Records a ParameterStatus; returns its parts. */
  noteParameter(buffer: Buffer, start: number, end: number): { name: string; value: string } {
    const reader = new BodyReader(buffer, start + HEADER_BYTES, end, 'ParameterStatus')
    const spelling = reader.cstring()
    const value = reader.cstring()
    const name = spelling.toLowerCase()
    this.reported.set(name, spelling)
    // Text of another encoding than UTF-8 cannot be applied elsewhere: better not known than wrong.
    this.parameters = value.includes('\ufffd')
      ? this.parameters.without(name)
      : this.parameters.with(name, value)
    return { name, value }
  }

  /**
   * Ends the connection and tells its handler. The one place where a server connection is closed; what
   * the server still sends is thrown away until it closes its end, too.
   */
  close(error: PoolerError): void {
    if (this.state === ServerState.Closed) return
    // Behind half a message the bytes of a Terminate would complete it: only an idle server gets one.
    const isIdle = this.state === ServerState.Idle || this.state === ServerState.BeingCanceled
    this.#counts?.servers.closed.note(serverCloseClass(error, this.state !== ServerState.Login))
    this.state = ServerState.Closed
    this.usable = false
    this.framer.stop()
    if (isIdle) {
      if (!this.wire.closed) this.send(TERMINATE)
      this.wire.close(GONE_WITHIN_MS)
    } else {
      this.wire.hangUp(GONE_WITHIN_MS, MAX_UNWANTED_BYTES)
    }
    this.handler.onServerClosed(this, error)
    this.statements?.clear()
  }

  onData(buffer: Buffer, start: number, end: number): void {
    try {
      this.framer.push(buffer, start, end)
      this.handler.onServerChunkEnd(this)
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      this.#counts?.serverViolations.note(violationKind(error))
      this.close(new PoolerError(SqlState.ProtocolViolation, `the server sent nonsense: ${error.message}`))
    }
  }

  onMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict {
    return this.handler.onServerMessage(this, type, total, buffer, start, end)
  }

  onRun(buffer: Buffer, start: number, end: number): void {
    this.handler.onServerRun(this, buffer, start, end)
  }

  onCongested(): void {
    this.handler.onServerCongestion(this, true)
  }

  onDrained(): void {
    this.handler.onServerCongestion(this, false)
  }

  onPeerEnd(): void {
    this.wire.destroy()
    this.close(new PoolerError(SqlState.ConnectionFailure, 'server closed the connection unexpectedly'))
  }

  onPeerGone(error: Error | null): void {
    const reason = error === null ? '' : `: ${error.message}`
    this.close(new PoolerError(SqlState.ConnectionFailure, `connection to server was lost${reason}`))
  }

  onGone(): void {
    if (this.wire.overran) setTimeout(() => this.#gone(), ENDS_AFTER_WRITE_MS).unref()
    else this.#gone()
  }

  #gone(): void {
    this.#isGone = true
    for (const listener of this.#whenGone.splice(0)) listener()
  }
}
