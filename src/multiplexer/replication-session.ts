import type { ClientConnection, ClientHandler } from '../client/client-connection.ts'
import { ClientState } from '../client/client-state.ts'
import type { SessionLimits } from '../config/session-limits.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { PauseReason } from '../net/wire.ts'
import type { ServerPool } from '../pool/server-pool.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { TERMINATE } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, FrontendType, HEADER_BYTES } from '../protocol/message-type.ts'
import { encodeBackendKeyData, encodeParameterStatus, READY_IDLE } from '../protocol/responses.ts'
import type { DedicatedLessee, StartupParameters } from '../server/lessee.ts'
import type { ServerConnection, ServerHandler } from '../server/server-connection.ts'
import type { CancelKey } from './cancel-keys.ts'
import type { LoggedInClient } from './logged-in-client.ts'
import { QUEUED_NOTICE } from './queued-notice.ts'

/** What a replication session needs from the Multiplexer. */
export interface ReplicationContext {
  /** Why clients are disconnected; null = they are served. */
  readonly draining: PoolerError | null
  /** Invents the key data with which this session's commands can be canceled. */
  addCancelKey(session: ReplicationSession): CancelKey
  /** Sends a CancelRequest to `server`; never rejects. */
  cancelServer(session: ReplicationSession, server: ServerConnection): Promise<void>
  /** The session is over and owns nothing any more. */
  ended(session: ReplicationSession, reason: string): void
}

/** A server that has not closed its connection so long after its client left is not waited for. */
const GIVE_UP_AFTER_MS = 10_000
const MICROS_PER_MS = 1000

/**
 * ReplicationSession: one logged-in replication client and the server connection that is its own for all its life,
 * opened with its own startup parameters. Both ways everything is forwarded as it comes; no statement is tracked, no
 * transaction is waited for, and the server is never used again. It is the handler of both connections.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol".
 */
export class ReplicationSession implements DedicatedLessee, ClientHandler, ServerHandler, LoggedInClient {
  readonly client: ClientConnection
  readonly pool: ServerPool
  readonly startup: StartupParameters
  /** It is not welcomed before it has its server. */
  readonly patient = false
  readonly #context: ReplicationContext
  /** query_wait_notify; 0 = the client is not told, or has been. */
  #notifyAfterMs: number
  readonly #startedMs = Date.now()
  #server: ServerConnection | null = null
  /** When the client said that it leaves; 0 = not yet. */
  #leavingSinceMs = 0
  /**
   * The server has said why it closes the connection, if it closes it now: with a FATAL ErrorResponse, or, where it is
   * shut down, with a CommandComplete behind which no ReadyForQuery comes.
   */
  #saidWhy = false

  constructor(
    client: ClientConnection,
    pool: ServerPool,
    { waitNotifyMs }: SessionLimits,
    context: ReplicationContext,
  ) {
    this.client = client
    this.pool = pool
    this.startup = client.startupParameters
    this.#notifyAfterMs = waitNotifyMs
    this.#context = context
  }

  /** Null while the client waits for it. */
  get server(): ServerConnection | null {
    return this.#server
  }

  /** The client is authenticated. */
  start(): void {
    const { client, pool } = this
    client.handler = this
    // A slow standby has to say that it is alive: PostgreSQL ends it otherwise after wal_sender_timeout, and reads this itself
    // while it cannot write. What PostgreSQL does not read in turn is not read here either.
    client.readsWhenFull = true
    pool.clients.join()
    const { outage } = pool.supply
    if (outage === null) pool.dedicate(this)
    else client.fail(outage)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    const ending = this.#context.draining ?? this.pool.clients.ending
    if (ending !== null) this.fail(ending)
    else if (
      this.#server === null &&
      this.#notifyAfterMs > 0 &&
      nowMs - this.#startedMs > this.#notifyAfterMs
    ) {
      this.#notifyAfterMs = 0
      this.client.send(QUEUED_NOTICE)
    }
    if (this.#leavingSinceMs > 0 && nowMs - this.#leavingSinceMs > GIVE_UP_AFTER_MS) this.#leave()
  }

  /**
   * Disconnects the client because of `error`. Behind half a message of the server's the error would be read as the
   * rest of it, so then the client is told nothing.
   */
  fail(error: PoolerError): void {
    this.client.close(error.message, this.#server?.framer.midMessage ? undefined : error)
  }

  /** The client wants what its server is doing to be canceled; resolves when the request has been delivered. */
  async cancel(): Promise<void> {
    if (this.#server !== null) await this.#context.cancelServer(this, this.#server)
  }

  onLease(server: ServerConnection): void {
    const { client } = this
    this.#server = server
    server.handler = this
    if (client.wire.congested) server.wire.pause(PauseReason.PeerCongested)
    this.#welcome(server)
    try {
      server.framer.resume()
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      server.close(error)
    }
    client.resumeHeld()
  }

  onLeaseRefused(error: PoolerError): void {
    this.client.fail(error)
  }

  onClientMessage(type: number): Verdict {
    if (this.#leavingSinceMs > 0) return Verdict.Drop
    if (type !== FrontendType.Terminate) return this.#server === null ? Verdict.Hold : Verdict.Forward
    if (this.#server === null) {
      this.#leave()
      return Verdict.Drop
    }
    this.#leavingSinceMs = Date.now()
    return Verdict.Forward
  }

  onClientRun(buffer: Buffer, start: number, end: number): void {
    this.#server?.forward(buffer, start, end)
  }

  onClientChunkEnd(): void {}

  onClientCongestion(congested: boolean): void {
    const wire = this.#server?.wire
    if (congested) wire?.pause(PauseReason.PeerCongested)
    else wire?.resume(PauseReason.PeerCongested)
  }

  onClientError(error: PoolerError): void {
    this.fail(error)
  }

  /** FIN: the client may still read. The server is told with a Terminate, and ends as it would without a pooler. */
  onClientEnd(): void {
    if (this.#leavingSinceMs > 0) return
    if (this.#server === null || this.client.framer.midMessage) {
      this.#leave()
      return
    }
    this.#leavingSinceMs = Date.now()
    this.#server.send(TERMINATE)
  }

  onClientClosed(reason: string): void {
    const { pool } = this
    const server = this.#server
    this.#server = null
    if (server === null) pool.cancelWait(this)
    else
      server.close(new PoolerError(SqlState.ConnectionFailure, `its replication client has gone: ${reason}`))
    pool.clients.leave()
    this.#context.ended(this, reason)
  }

  onServerMessage(
    _server: ServerConnection,
    type: number,
    _total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    if (type === BackendType.ErrorResponse) {
      const { severity } = readErrorFields(buffer, start + HEADER_BYTES, end)
      this.#saidWhy = severity === 'FATAL' || severity === 'PANIC'
    } else this.#saidWhy = type === BackendType.CommandComplete
    return Verdict.Forward
  }

  onServerRun(_server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    this.client.forward(buffer, start, end)
  }

  onServerChunkEnd(): void {}

  onServerCongestion(_server: ServerConnection, congested: boolean): void {
    const { wire } = this.client
    if (congested) wire.pause(PauseReason.PeerCongested)
    else wire.resume(PauseReason.PeerCongested)
  }

  onServerClosed(server: ServerConnection, error: PoolerError): void {
    this.#server = null
    this.pool.onServerClosed(server, error)
    if (this.#leavingSinceMs > 0) {
      this.#leave()
      return
    }
    const ended = serverLost(error)
    // Behind half a message an error would be read as the rest of it.
    const isMute = this.#saidWhy || server.framer.midMessage
    this.client.close(ended.message, isMute ? undefined : ended)
  }

  #leave(): void {
    this.client.close('client closed the connection')
  }

  #welcome(server: ServerConnection): void {
    const { client } = this
    for (const [name, spelling] of server.reported) {
      const value = server.parameters.get(name)
      if (value !== undefined) client.send(encodeParameterStatus(spelling, value))
    }
    const { processId, secret } = this.#context.addCancelKey(this)
    client.send(encodeBackendKeyData(processId, secret))
    client.send(READY_IDLE)
    this.pool.metrics?.logins.observe((Date.now() - client.acceptedMs) * MICROS_PER_MS)
    client.state = ClientState.Active
  }
}

function serverLost({ message }: PoolerError): PoolerError {
  return new PoolerError(SqlState.ConnectionFailure, 'server conn crashed?', { detail: message })
}
