import { ClientState } from '../client/client-state.ts'
import { encodeBackendKeyData, encodeParameterStatus, READY_IDLE } from '../protocol/responses.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { isDone, leaseServer, releaseServer } from './leasing.ts'
import { type Session, SessionPhase } from './session.ts'

/**
 * The end of a client's login: the ParameterStatus values that its session will really have,
 * BackendKeyData, ReadyForQuery. Where its startup parameters are known to be accepted this needs no
 * server; otherwise it waits for one and has them applied there first.
 */
export function startWelcome(session: Session): void {
  const { client, pool } = session
  const welcome = pool.generation.welcome
  if (welcome !== null) {
    const values = knownValues(session)
    if (values !== undefined) {
      client.parameters = welcome.parameters.sharedWith(values)
      sendWelcome(session, welcome.reported)
      client.resumeHeld()
      return
    }
  }
  const { outage } = pool
  if (outage !== null) {
    client.fail(outage)
    return
  }
  const server = leaseServer(session)
  if (server !== null) continueWelcome(session, server)
}

/** The session has a server; its parameters have been sent there if they are not those of the server. */
export function continueWelcome(session: Session, server: ServerConnection): void {
  if (server.tracker.length > 0) return
  const { client, pool, context } = session
  for (const [name, value] of client.startupParameters) {
    context.knownParameters.add(pool, name, value, client.parameters.get(name) ?? value)
  }
  sendWelcome(session, server.reported)
  if (isDone(session, server)) releaseServer(session, server)
  client.resumeHeld()
}

function sendWelcome(session: Session, reported: ReadonlyMap<string, string>): void {
  const { client } = session
  for (const [name, spelling] of reported) {
    const value = client.parameters.get(name)
    if (value !== undefined) client.send(encodeParameterStatus(spelling, value))
  }
  const { processId, secret } = session.context.addCancelKey(session)
  client.send(encodeBackendKeyData(processId, secret))
  client.send(READY_IDLE)
  session.phase = SessionPhase.Active
  client.state = ClientState.Active
}

/** The servers' spelling of all startup parameters; undefined if one of them is not known yet. */
function knownValues(session: Session): ReadonlyMap<string, string> | undefined {
  const { client, pool, context } = session
  const values = new Map<string, string>()
  for (const [name, value] of client.startupParameters) {
    const spelling = context.knownParameters.find(pool, name, value)
    if (spelling === undefined) return undefined
    values.set(name, spelling)
  }
  return values
}
