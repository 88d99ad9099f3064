import { ClientState } from '../client/client-state.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { PauseReason } from '../net/wire.ts'
import { FLUSH } from '../protocol/extended-query.ts'
import type { Verdict } from '../protocol/framer.ts'
import { Reply } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { closeIfAnswered, departureTick, endSession, failClient, leave, startDeparture } from './departure.ts'
import { fromClient } from './from-client.ts'
import { fromServer } from './from-server.ts'
import { detachServer, isBetweenTransactions, isDone, releaseServer, takeServer } from './leasing.ts'
import { type Session, type SessionEvents, SessionPhase } from './session.ts'
import { checkTimeouts } from './session-timeouts.ts'
import { undo } from './settle.ts'
import { continueWelcome, startWelcome, welcomeRefused } from './welcome.ts'

const MICROS_PER_MS = 1000
/** More owed replies than this: the client is not read until the server has answered half of them. */
const MAX_OWED = 32_768

/**
 * SessionHandler: receives the events of a session's two connections and of its pool, and passes them to
 * whoever in this folder decides. It owns nothing but the Session.
 */
export class SessionHandler implements SessionEvents {
  readonly session: Session

  constructor(session: Session) {
    this.session = session
    session.events = this
    session.client.handler = this
  }

  get patient(): boolean {
    return this.session.phase !== SessionPhase.Welcome
  }

  /** The client is authenticated. */
  start(): void {
    startWelcome(this.session)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    const draining = this.session.context.draining ?? this.session.pool.clients.ending
    if (draining !== null && isBetweenTransactions(this.session)) failClient(this.session, draining)
    checkTimeouts(this.session, nowMs)
    const { server, leavingSinceMs } = this.session
    if (server !== null && leavingSinceMs > 0) departureTick(this.session, server, nowMs)
  }

  /** The client wants what it asked for last to be canceled; resolves when the request has been delivered. */
  async cancel(): Promise<void> {
    const { session } = this
    const { server } = session
    if (session.waiting && session.phase === SessionPhase.Active) {
      session.waiting = false
      session.notified = false
      session.pool.cancelWait(this)
      session.canceled = true
      session.client.state = ClientState.Active
      session.client.resumeHeld()
    } else if (server?.tracker.head?.isInjected) {
      session.cancelWanted = true
    } else if (server !== null && server.tracker.length > 0) {
      await session.context.cancelServer(session, server)
    }
  }

  onLease(server: ServerConnection): void {
    const { session } = this
    session.waiting = false
    session.notified = false
    takeServer(session, server)
    const { requestSinceMs, leasedAtMs, pool } = session
    const waitMicros = requestSinceMs > 0 ? Math.round((leasedAtMs - requestSinceMs) * MICROS_PER_MS) : 0
    pool.stats.waitMicros += waitMicros
    pool.metrics?.waits.observe(waitMicros)
    if (session.phase === SessionPhase.Welcome) {
      continueWelcome(session, server)
      return
    }
    session.client.state = ClientState.Active
    session.client.resumeHeld()
  }

  onLeaseRefused(error: PoolerError): void {
    const { session } = this
    session.waiting = false
    if (session.phase === SessionPhase.Welcome) welcomeRefused(session, error)
    else failClient(session, error)
  }

  onClientMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict {
    return fromClient(this.session, type, total, buffer, start, end)
  }

  onClientRun(buffer: Buffer, start: number, end: number): void {
    // Without a server this is late COPY data, which PostgreSQL would ignore, too.
    const { server, source } = this.session
    if (server === null) source.dropRun(buffer, start, end)
    else server.forward(buffer, start, end)
  }

  onClientChunkEnd(): void {
    const { session } = this
    const { server } = session
    if (server === null || session.phase !== SessionPhase.Active) return
    if (server.tracker.length > MAX_OWED && !session.owedPaused) {
      session.owedPaused = true
      session.client.wire.pause(PauseReason.Owed)
      // Without a Sync the server keeps its replies back until it is asked for them.
      if (server.tracker.batchOpen) server.send(FLUSH)
    }
    // Late COPY data that was cut in two kept the server from being released; now it is whole.
    if (session.mode !== 'session' && !session.heldForReply && isDone(session, server)) {
      releaseServer(session, server)
      closeIfAnswered(session)
    }
  }

  onClientCongestion(congested: boolean): void {
    const wire = this.session.server?.wire
    if (congested) wire?.pause(PauseReason.PeerCongested)
    else wire?.resume(PauseReason.PeerCongested)
  }

  onClientError(error: PoolerError): void {
    const { session } = this
    session.pendingError = error
    session.terminated = true
    if (session.leavingSinceMs === 0) leave(session)
    else closeIfAnswered(session)
  }

  onClientEnd(): void {
    leave(this.session)
  }

  onClientClosed(reason: string): void {
    const { session } = this
    const { server } = session
    session.closeReason = reason
    session.phase = SessionPhase.Leaving
    if (session.leavingSinceMs === 0) session.leavingSinceMs = Date.now()
    if (session.waiting) {
      session.waiting = false
      session.pool.cancelWait(this)
    }
    if (server === null) endSession(session)
    else startDeparture(session, server)
  }

  onServerMessage(
    server: ServerConnection,
    type: number,
    total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    return fromServer(this.session, server, type, total, buffer, start, end)
  }

  onServerRun(server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    // Rows of a query of the pooler's own.
    const { head } = server.tracker
    if (head?.reply === Reply.Query && head.isInjected) server.framer.dropRun(buffer, start, end)
    else this.session.client.forward(buffer, start, end)
  }

  onServerChunkEnd(server: ServerConnection): void {
    const { session } = this
    if (session.owedPaused && server.tracker.length < MAX_OWED / 2) {
      session.owedPaused = false
      session.client.wire.resume(PauseReason.Owed)
    }
    if (session.heldForReply) {
      session.heldForReply = false
      session.client.resumeHeld()
      closeIfAnswered(session)
    }
  }

  onServerCongestion(_server: ServerConnection, congested: boolean): void {
    const { wire } = this.session.client
    if (congested) wire.pause(PauseReason.PeerCongested)
    else wire.resume(PauseReason.PeerCongested)
  }

  onServerClosed(server: ServerConnection, error: PoolerError): void {
    const { session } = this
    // Behind half a message an error would be read as the rest of it.
    const cut = server.framer.midMessage
    // Its COMMIT may have been carried out.
    if (session.schemaChanged) session.context.registry.promoted.generation += 1
    server.tracker.clear((entry) => undo(session, server, entry))
    detachServer(session, server)
    session.pool.onServerClosed(server, error)
    if (session.phase === SessionPhase.Leaving) endSession(session)
    else
      session.client.close('server conn crashed?', session.fatalSeen || cut ? undefined : serverLost(error))
  }
}

function serverLost(error: PoolerError): PoolerError {
  return new PoolerError(SqlState.ConnectionFailure, 'server conn crashed?', {
    detail: error.message,
    hint: 'Whether the statement took effect is not known. Connect again.',
  })
}
