import { ClientState } from '../client/client-state.ts'
import type { PoolerError } from '../errors.ts'
import { encodeBackendKeyData, READY_IDLE } from '../protocol/responses.ts'
import { goesBy } from '../server/goes-by.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { encodeReported } from './encode-reported.ts'
import { isDone, leaseServer, releaseServer } from './leasing.ts'
import { type Session, SessionPhase } from './session.ts'

const MICROS_PER_MS = 1000

/**
 * The end of a client's login: the ParameterStatus values that its session will really have,
 * BackendKeyData, ReadyForQuery. Where its startup parameters are known to be accepted this needs no
 * server; otherwise it waits for one and has them applied there first.
 */
export function startWelcome(session: Session): void {
  const { client, pool } = session
  // Without a server nobody knows whether PostgreSQL still reports what it did; while it cannot be asked, that must do.
  const isCurrent = pool.size > 0 || pool.paused || pool.supply.outage !== null
  if (isCurrent && welcomeFromMemory(session)) return
  const { outage } = pool.supply
  if (outage !== null) {
    client.fail(outage)
    return
  }
  const server = leaseServer(session)
  if (server !== null) continueWelcome(session, server)
}

/** No server could be had. A client that the pool knows enough for is welcomed all the same, and waits for one later. */
export function welcomeRefused(session: Session, error: PoolerError): void {
  if (!goesBy(error) || !welcomeFromMemory(session)) session.client.fail(error)
}

/** Welcomes the client without a server; false = not all of its parameters are known. */
function welcomeFromMemory(session: Session): boolean {
  const { client, pool } = session
  const { welcome } = pool.generation
  const values = welcome === null ? undefined : knownValues(session)
  if (welcome === null || values === undefined) return false
  client.parameters = welcome.parameters.sharedWith(values)
  sendWelcome(session, welcome.reported)
  client.resumeHeld()
  return true
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
  client.send(encodeReported(client.parameters, reported))
  const { processId, secret } = session.context.addCancelKey(session)
  client.send(encodeBackendKeyData(processId, secret))
  client.send(READY_IDLE)
  session.answeredAtMs = Date.now()
  session.pool.metrics?.logins.observe((session.answeredAtMs - client.acceptedMs) * MICROS_PER_MS)
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
