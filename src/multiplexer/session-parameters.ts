import { encodeQuery } from '../protocol/extended-query.ts'
import { encodeParameterStatus } from '../protocol/responses.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import type { ParameterSet } from '../server/parameter-set.ts'
import { parameterChange } from '../server/parameter-status.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { type Session, SessionPhase } from './session.ts'

/**
 * What a server is told before a client's first message reaches it: to forget what another client left
 * behind, and the client's session parameters where they differ. Goes out in the same write as the message.
 */
export function prepareServer(session: Session, server: ServerConnection): void {
  const { client } = session
  const { parameters, residue, lastLessee } = server
  if (client.parameters === parameters && (residue === 0 || lastLessee === session)) {
    server.lastLessee = session
    return
  }
  const statements: string[] = []
  server.lastLessee = session
  let before = parameters
  if (residue !== 0 && lastLessee !== session) {
    server.residue = 0
    forgetResidue(server, residue, statements)
    if ((residue & Residue.Settings) !== 0) before = server.defaults
  }
  if (before === parameters && client.parameters.equals(parameters)) {
    server.parameters = client.parameters
  } else {
    const change = parameterChange(client.parameters, before, server.reported)
    client.parameters = change.client
    // What the server reports is what it has, and it will report what changes.
    server.parameters = change.server.withAll(reportedOf(server, parameters))
    if (change.sql !== '') statements.push(change.sql)
    if (change.notices.length > 0 && session.phase !== SessionPhase.Welcome) client.send(change.notices)
  }
  if (statements.length === 0) return
  // A simple query destroys the unnamed statement.
  server.unnamed = null
  server.send(encodeQuery(statements.join(';')))
  const entry = server.tracker.push(Reply.Query, ReplyAction.Skip)
  entry.effect = Effect.ApplyParameters
  entry.parameters = parameters
  entry.residue = residue
}

/** The Query that applies the parameters has succeeded: the client's are spelt as the server spells them. */
export function parametersApplied(session: Session, server: ServerConnection): void {
  session.client.parameters = session.client.parameters.withAll(reportedOf(server, server.parameters))
}

function reportedOf(server: ServerConnection, parameters: ParameterSet): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const name of server.reported.keys()) {
    const value = parameters.get(name)
    if (value !== undefined) values.set(name, value)
  }
  return values
}

function forgetResidue(server: ServerConnection, residue: number, statements: string[]): void {
  if ((residue & Residue.Listening) !== 0) statements.push('UNLISTEN *')
  if ((residue & Residue.Cursors) !== 0) statements.push('CLOSE ALL')
  if ((residue & Residue.Prepared) !== 0) {
    statements.push('DEALLOCATE ALL')
    server.statements?.clear()
  }
  if ((residue & Residue.Settings) !== 0) {
    statements.push('SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE', 'RESET ALL')
  }
}

/** The server reports a parameter: both sides note it; false = the client need not hear of it. */
export function noteParameter(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): boolean {
  const { client } = session
  const { name, value } = server.noteParameter(buffer, start, end)
  // RESET went back to the server's default, which is not the client's: see restoreStartupValues.
  if (isReset(session, server, name)) return false
  const known = client.parameters.get(name) === value
  client.parameters = client.parameters.with(name, value)
  if (session.phase === SessionPhase.Welcome) return false
  return !(known && server.tracker.head?.isInjected)
}

/**
 * At the end of a batch behind which nothing has been sent yet.
 *
 * After RESET and DISCARD ALL PostgreSQL has the values of the startup message again. The server's are its
 * own defaults, for it was not started by this client: the client's are applied again, inside its
 * transaction if it is in one, and it is told so in front of its ReadyForQuery. What it has sent behind the batch waits
 * for that; the rest of the batch itself could not.
 */
export function restoreStartupValues(session: Session, server: ServerConnection): void {
  const { client, context, pool, resets } = session
  resets.expected = false
  // In a failed transaction nothing can be applied; it ends with the RESET undone.
  if (!resets.seen || server.transactionStatus === TransactionStatus.Failed) return
  for (const [name, wanted] of client.startupParameters) {
    if (!resets.cover(name)) continue
    const value = context.knownParameters.find(pool, name, wanted) ?? wanted
    const spelling = server.reported.get(name)
    if (spelling === undefined) {
      // Not reported, so nobody knows whether it was reset, too.
      server.parameters = server.parameters.without(name)
    } else if (
      server.parameters.get(name) === server.defaults.get(name) &&
      client.parameters.get(name) !== value
    ) {
      client.parameters = client.parameters.with(name, value)
      client.send(encodeParameterStatus(spelling, value))
    }
  }
  resets.clear()
  prepareServer(session, server)
}

/** True if a RESET has just taken this parameter to a default that is not this client's. */
function isReset(session: Session, server: ServerConnection, name: string): boolean {
  return (
    session.resets.cover(name) &&
    session.client.startupParameters.has(name) &&
    server.parameters.get(name) === server.defaults.get(name)
  )
}
