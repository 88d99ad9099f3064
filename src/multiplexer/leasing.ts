import { ClientState } from '../client/client-state.ts'
import { PauseReason } from '../net/wire.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { beginOnServer } from './lazy-begin.ts'
import { Begun, type Session, SessionPhase } from './session.ts'
import { prepareServer } from './session-parameters.ts'

/**
 * When a session gets a server and when it gives it back.
 */

/** The server of this session; null means that it waits for one and `onLease` follows. */
export function leaseServer(session: Session): ServerConnection | null {
  if (session.server !== null) {
    // Between transactions the client's startup values may have to be applied once more (RESET).
    if (session.client.parameters !== session.server.parameters && isDone(session, session.server)) {
      prepareServer(session, session.server)
    }
    return session.server
  }
  const server = session.pool.lease(session.events)
  if (server === undefined) {
    session.waiting = true
    if (session.phase === SessionPhase.Active) session.client.state = ClientState.Waiting
    return null
  }
  session.pool.metrics?.waits.observe(0)
  takeServer(session, server)
  return server
}

/** The pool has given this server to this session. */
export function takeServer(session: Session, server: ServerConnection): void {
  server.handler = session.events
  session.server = server
  session.leasedAtMs = session.context.clock.nowMs()
  session.pool.stats.serverAssignments += 1
  if (session.phase === SessionPhase.Welcome) {
    // Not the server's current values, which are those of the client before.
    session.client.parameters = server.defaults.sharedWith(session.client.startupParameters)
  }
  if (session.client.wire.congested) server.wire.pause(PauseReason.PeerCongested)
  prepareServer(session, server)
  if (session.begun !== Begun.No) beginOnServer(session, server)
}

/**
 * The only way a server is released for reuse: no transaction, no reply owed, no batch without its Sync, no
 * COPY, and no message of the client that has passed only in part.
 */
export function isDone(session: Session, server: ServerConnection): boolean {
  const { tracker } = server
  return (
    server.transactionStatus === TransactionStatus.Idle &&
    tracker.length === 0 &&
    !tracker.batchOpen &&
    !tracker.copyIn &&
    !session.client.framer.midMessage
  )
}

/** The client is welcomed, and nothing is asked for or open: it may be disconnected without harm. */
export function isBetweenTransactions(session: Session): boolean {
  const { phase, server, requestSinceMs, transactionSinceMs } = session
  if (phase !== SessionPhase.Active) return phase === SessionPhase.Welcome && server === null
  if (server !== null) return isDone(session, server)
  return session.waiting || (requestSinceMs === 0 && transactionSinceMs === 0)
}

/** Gives the server back to its pool, where the longest waiter may get it in this very call. */
export function releaseServer(session: Session, server: ServerConnection): void {
  detachServer(session, server)
  session.pool.release(server)
}

/** The session has no server any more; both sockets are read again. */
export function detachServer(session: Session, server: ServerConnection): void {
  const { client } = session
  session.server = null
  session.promotedUsed = null
  session.skipToSync = false
  session.discards = 0
  session.resets.expected = false
  session.cancelWanted = false
  session.recorder.stop()
  server.wire.resume(PauseReason.PeerCongested | PauseReason.Suspended)
  client.wire.resume(PauseReason.PeerCongested)
  if (session.owedPaused) {
    session.owedPaused = false
    client.wire.resume(PauseReason.Owed)
  }
}
