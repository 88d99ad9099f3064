import { PoolerError, SqlState } from '../errors.ts'
import { PauseReason } from '../net/wire.ts'
import { BodyWriter } from '../protocol/body-writer.ts'
import { encodeDescribeStatement, encodeQuery, SYNC } from '../protocol/extended-query.ts'
import { FrontendType } from '../protocol/message-type.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { isDone, releaseServer } from './leasing.ts'
import { type Session, SessionPhase } from './session.ts'

/**
 * A client leaves while a server is leased to it: the server is brought to the end of what it was doing,
 * rolled back, and reused; closed only if that takes too long or cannot be done.
 */

/** A query that runs longer than this after its client left is canceled. */
const CANCEL_AFTER_MS = 2000
/** A server that is not clean after this is closed. */
const GIVE_UP_AFTER_MS = 10_000
/** Results that nobody wants are read up to this. */
const MAX_DRAINED_BYTES = 64 * 1024 * 1024

/** Stands for a session that is gone. */
const ANYBODY: object = Object.freeze({})
const ROLLBACK = encodeQuery('ROLLBACK')
/** Describe of a statement that no server has: an error that rolls back what a batch has done so far. */
const PROVOKE_ERROR = encodeDescribeStatement('pooler_no_such_statement')
const COPY_FAIL = new BodyWriter().begin(FrontendType.CopyFail).cstring('the client has left').end().take()

/**
 * The client will say nothing more (Terminate or FIN). What it has asked for completely is still answered
 * and done, as PostgreSQL would; then, or at once if nothing is to come, the connection is closed. A client
 * that waits for a server has nothing running: its place in the queue is for those who still want one.
 */
export function leave(session: Session): void {
  if (session.leavingSinceMs > 0) return
  session.leavingSinceMs = Date.now()
  closeIfAnswered(session)
}

/** Closes a client that is leaving once nothing more is to come for it. */
export function closeIfAnswered(session: Session): void {
  const { server, client, phase } = session
  if (session.leavingSinceMs === 0 || phase > SessionPhase.Active) return
  if (server !== null && phase === SessionPhase.Active) {
    const { tracker } = server
    const answerComes =
      tracker.length > 0 &&
      !tracker.batchOpen &&
      !(tracker.copyIn && !tracker.copyEndSent) &&
      !client.framer.midMessage
    if (answerComes || session.heldForReply) return
  }
  if (session.pendingError === undefined) client.part('client closed the connection')
  else client.fail(session.pendingError)
}

/**
 * Disconnects the client because of `error`, and cancels what its server is executing. Behind half a message of
 * the server's the error would be read as the rest of it, so then the client is told nothing.
 */
export function failClient(session: Session, error: PoolerError): void {
  const { client, server } = session
  client.close(error.message, server?.framer.midMessage ? undefined : error)
  if (session.server !== null) cancelDeparted(session, session.server)
}

/** The client has just gone. */
export function startDeparture(session: Session, server: ServerConnection): void {
  const { tracker } = server
  session.bytesAtLeaving = server.wire.bytesReceived
  // Its socket may be full for ever; the server is to be read to its end.
  server.wire.resume(PauseReason.PeerCongested | PauseReason.Suspended)
  if (session.client.framer.midMessage) {
    server.close(new PoolerError(SqlState.ConnectionFailure, 'client left in the middle of a message'))
    return
  }
  if (tracker.copyIn && !tracker.copyEndSent) abandonCopy(server)
  else if (tracker.batchOpen) {
    // Without its Sync a batch does not commit; PostgreSQL would roll it back when the connection ends.
    if (!session.skipToSync) {
      server.send(PROVOKE_ERROR)
      tracker.push(Reply.Describe, ReplyAction.Skip)
    }
    sendSync(server)
  }
  cleanUpServer(session, server)
}

/** Ends a COPY whose data will not come. */
export function abandonCopy(server: ServerConnection): void {
  const extended = server.tracker.head?.reply === Reply.Execute
  server.send(COPY_FAIL)
  server.tracker.push(Reply.CopyEnd, ReplyAction.Forward)
  if (extended) sendSync(server)
}

/** Once nothing is owed any more: ends the transaction, resets the session if it was the client's own, releases. */
export function cleanUpServer(session: Session, server: ServerConnection): void {
  if (server.tracker.length > 0) return
  if (server.transactionStatus !== TransactionStatus.Idle) {
    send(server, ROLLBACK)
    return
  }
  if (session.mode === 'session' && session.context.resetQuery !== '' && !session.resetSent) {
    session.resetSent = true
    // Startup values that the server does not report may be gone with it, or not.
    server.residue |= Residue.Settings
    send(server, encodeQuery(session.context.resetQuery))
    return
  }
  if (!isDone(session, server)) {
    server.close(
      new PoolerError(SqlState.ConnectionFailure, 'the server was not clean after its client had left'),
    )
    return
  }
  // Not to be kept alive by the server that it had.
  server.lastLessee = ANYBODY
  if (server.unnamed === session.unnamed) server.unnamed = null
  releaseServer(session, server)
  endSession(session)
}

/** Called by the janitor while the client is gone, or has sent FIN and a reply is still owed. */
export function departureTick(session: Session, server: ServerConnection, nowMs: number): void {
  const elapsedMs = nowMs - session.leavingSinceMs
  if (elapsedMs > CANCEL_AFTER_MS && !session.cancelSent) {
    session.client.close('client closed the connection')
    if (session.server !== null) cancelDeparted(session, session.server)
  }
  const tooMuch =
    session.phase === SessionPhase.Leaving &&
    server.wire.bytesReceived - session.bytesAtLeaving > MAX_DRAINED_BYTES
  if (elapsedMs > GIVE_UP_AFTER_MS || tooMuch) {
    server.close(
      new PoolerError(SqlState.ConnectionFailure, 'the query of a client that has left would not end'),
    )
  }
}

/** Nobody waits for what the server is executing. */
function cancelDeparted(session: Session, server: ServerConnection): void {
  if (session.cancelSent || server.tracker.length === 0) return
  session.cancelSent = true
  void session.context.cancelServer(session, server)
}

/** The session owns nothing any more. */
export function endSession(session: Session): void {
  if (session.phase === SessionPhase.Ended) return
  session.phase = SessionPhase.Ended
  session.statements?.clear()
  session.pool.clients.leave()
  session.context.ended(session, session.closeReason)
}

function send(server: ServerConnection, query: Buffer): void {
  // A simple query destroys the unnamed statement, whoever's it is.
  server.unnamed = null
  server.send(query)
  server.tracker.push(Reply.Query, ReplyAction.Skip).effect = Effect.CleanUp
}

/** Ends the batch that a client has left open. */
export function sendSync(server: ServerConnection): void {
  server.send(SYNC)
  server.tracker.push(Reply.Sync, ReplyAction.Forward)
}
