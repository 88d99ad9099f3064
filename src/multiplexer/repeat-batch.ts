import { CLIENT_MESSAGES } from '../client/client-messages.ts'
import { PoolerError } from '../errors.ts'
import { Framer } from '../protocol/framer.ts'
import type { Session } from './session.ts'

/**
 * Hands the recorded batch in again, as if the client had just sent it: the statement that the server did
 * not have, or had for tables that have changed, is prepared anew on the way.
 */
export function repeatBatch(session: Session): void {
  session.parsesAnswered = session.recorder.parsesAnswered
  const batch = session.recorder.take()
  const { events, source } = session
  const framer = new Framer(
    {
      onMessage: (type, total, buffer, start, end) => events.onClientMessage(type, total, buffer, start, end),
      onRun: (buffer, start, end) => events.onClientRun(buffer, start, end),
    },
    CLIENT_MESSAGES,
    undefined,
    session.context.counts?.traffic.repeated,
  )
  session.repeating = false
  session.source = framer
  try {
    framer.push(batch, 0, batch.length)
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    events.onClientError(error)
  } finally {
    session.source = source
    session.parsesAnswered = 0
    session.recorder.stop()
  }
}
