import type { ClientConnection } from '../client/client-connection.ts'
import { ClientState } from '../client/client-state.ts'
import type { LoggedInClient } from '../multiplexer/logged-in-client.ts'
import type { ReplicationSession } from '../multiplexer/replication-session.ts'
import type { Session } from '../multiplexer/session.ts'
import type { Wire } from '../net/wire.ts'
import type { ServerPool } from '../pool/server-pool.ts'
import type { Column, Value } from '../protocol/result-set.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'
import type { AdminContext } from './admin-context.ts'
import { columnsOf } from './columns.ts'
import { wallClock } from './wall-clock.ts'

/**
 * The rows of SHOW CLIENTS, SERVERS and SOCKETS, which have the same columns.
 */

export const connectionColumns: readonly Column[] = columnsOf(
  `type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i, connect_time s,
   request_time s, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, tls s, application_name s,
   prepared_statements i, id i`,
)

/** Where `replication` is among the columns. */
const REPLICATION = 3

export function clientRow(session: Session): Value[] {
  const { client, pool, server, waiting, requestSinceMs } = session
  const state = waiting ? 'waiting' : server === null ? 'idle' : 'active'
  return row('C', client.user, pool.database, state, client.wire, {
    connectedMs: client.acceptedMs,
    requestMs: requestSinceMs > 0 ? requestSinceMs : session.answeredAtMs,
    waitMs: waiting ? Date.now() - requestSinceMs : 0,
    closeNeeded: false,
    id: client.id,
    link: server?.id,
    processId: 0,
    tls: client.tls === null ? '' : `${client.tls.protocol}/${client.tls.cipher}`,
    application: client.parameters.get('application_name') ?? '',
    statements: session.statements?.size ?? 0,
  })
}

/** A client with a server of its own. */
export function replicationRow({ client, pool, server }: ReplicationSession): Value[] {
  const values = row('C', client.user, pool.database, server === null ? 'waiting' : 'active', client.wire, {
    connectedMs: client.acceptedMs,
    requestMs: client.acceptedMs,
    waitMs: server === null ? Date.now() - client.acceptedMs : 0,
    closeNeeded: false,
    id: client.id,
    link: server?.id,
    processId: 0,
    tls: client.tls === null ? '' : `${client.tls.protocol}/${client.tls.cipher}`,
    application: client.startupParameters.get('application_name') ?? '',
    statements: 0,
  })
  return values.map((value, index) => (index === REPLICATION ? client.replication : value))
}

/** A client of the console itself. */
export function consoleRow({ client }: { readonly client: ClientConnection }): Value[] {
  return row('C', client.user, 'pgbouncer', 'active', client.wire, {
    connectedMs: client.acceptedMs,
    requestMs: Date.now(),
    waitMs: 0,
    closeNeeded: false,
    id: client.id,
    link: undefined,
    processId: 0,
    tls: client.tls === null ? '' : `${client.tls.protocol}/${client.tls.cipher}`,
    application: client.startupParameters.get('application_name') ?? '',
    statements: 0,
  })
}

/** `holder` is the session that has it. */
export function serverRow(
  pool: ServerPool,
  server: ServerConnection,
  holder: LoggedInClient | undefined,
): Value[] {
  return row('S', pool.user, pool.database, serverState(server), server.wire, {
    connectedMs: server.createdMs,
    requestMs: holder?.requestSinceMs || server.idleSinceMs,
    waitMs: 0,
    closeNeeded: !server.usable || pool.generation.retireReason(server) !== null,
    id: server.id,
    link: holder?.client.id,
    processId: server.processId,
    tls: server.tls === null ? '' : `${server.tls.protocol}/${server.tls.cipher}`,
    application: server.parameters.get('application_name') ?? '',
    statements: server.statements?.size ?? 0,
  })
}

/** Which client has which server. */
export function holdersOf({ multiplexer }: AdminContext): ReadonlyMap<ServerConnection, LoggedInClient> {
  const holders = new Map<ServerConnection, LoggedInClient>()
  for (const session of [...multiplexer.sessions, ...multiplexer.replications])
    if (session.server !== null) holders.set(session.server, session)
  return holders
}

/** `C` and `S` as PgBouncer writes the addresses of its own objects; ours are numbers that are never used again. */
export function pointer(id: number | undefined): string {
  return id === undefined ? '' : `0x${id.toString(16).padStart(8, '0')}`
}

export function clientIsActive({ client, waiting, server }: Session): boolean {
  return client.state !== ClientState.Closed && !waiting && server !== null
}

function serverState({ state }: ServerConnection): string {
  switch (state) {
    case ServerState.Login:
      return 'new'
    case ServerState.Active:
      return 'active'
    case ServerState.Tested:
      return 'tested'
    case ServerState.BeingCanceled:
      return 'being_canceled'
    default:
      return 'idle'
  }
}

interface Details {
  readonly connectedMs: number
  readonly requestMs: number
  readonly waitMs: number
  readonly closeNeeded: boolean
  readonly id: number
  readonly link: number | undefined
  readonly processId: number
  readonly tls: string
  readonly application: string
  readonly statements: number
}

function row(
  type: 'C' | 'S',
  user: string,
  database: string,
  state: string,
  wire: Wire,
  details: Details,
): Value[] {
  const { connectedMs, requestMs, waitMs, closeNeeded, id, link, processId } = details
  return [
    type,
    user,
    database,
    'none',
    state,
    wire.remoteAddress === '' ? 'unix' : wire.remoteAddress,
    wire.remotePort,
    wire.localAddress === '' ? 'unix' : wire.localAddress,
    wire.localPort,
    wallClock(connectedMs),
    wallClock(requestMs),
    Math.floor(waitMs / 1000),
    Math.floor(waitMs % 1000) * 1000,
    closeNeeded ? 1 : 0,
    pointer(id),
    pointer(link),
    processId,
    details.tls,
    details.application,
    details.statements,
    id,
  ]
}
