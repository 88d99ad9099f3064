import { encodeQuery } from '../protocol/extended-query.ts'
import { encodeParameterStatus } from '../protocol/responses.ts'
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
  const statements: string[] = []
  const before = server.parameters
  if (server.lastLessee !== session) {
    if (server.residue !== 0) forgetResidue(server, statements)
    server.lastLessee = session
  }
  if (client.parameters.equals(server.parameters)) {
    server.parameters = client.parameters
  } else {
    const change = parameterChange(client.parameters, server.parameters, server.reported)
    client.parameters = change.client
    server.parameters = change.server
    if (change.sql !== '') statements.push(change.sql)
    if (change.notices.length > 0 && session.phase !== SessionPhase.Welcome) client.send(change.notices)
  }
  if (statements.length === 0) return
  session.parametersBefore = before
  server.send(encodeQuery(statements.join(';')))
  server.tracker.push(Reply.Query, ReplyAction.Skip).effect = Effect.ApplyParameters
}

function forgetResidue(server: ServerConnection, statements: string[]): void {
  const { residue } = server
  server.residue = 0
  if ((residue & Residue.Listening) !== 0) statements.push('UNLISTEN *')
  if ((residue & Residue.Cursors) !== 0) statements.push('CLOSE ALL')
  if ((residue & Residue.Prepared) !== 0) {
    statements.push('DEALLOCATE ALL')
    server.statements?.clear()
  }
  if ((residue & Residue.Settings) !== 0) {
    statements.push('SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE', 'RESET ALL')
    server.parameters = server.defaults
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
  const known = client.parameters.get(name) === value
  client.parameters = client.parameters.with(name, value)
  if (session.phase === SessionPhase.Welcome) return false
  const injected = server.tracker.head?.action === ReplyAction.Skip
  return !(injected && known)
}

/**
 * After RESET and DISCARD ALL PostgreSQL has the values of the startup message again. The server's are its
 * own defaults, for it was not started by this client: the client's are applied again before its next
 * message, and it is told so in front of its ReadyForQuery.
 */
export function restoreStartupValues(session: Session, server: ServerConnection): void {
  const { client, context, pool } = session
  session.resetSeen = false
  for (const [name, wanted] of client.startupParameters) {
    const spelling = server.reported.get(name)
    const value = context.knownParameters.find(pool, name, wanted) ?? wanted
    if (spelling === undefined || server.parameters.get(name) !== server.defaults.get(name)) continue
    if (client.parameters.get(name) === value) continue
    client.parameters = client.parameters.with(name, value)
    client.send(encodeParameterStatus(spelling, value))
  }
}
