import type { Value } from '../../protocol/result-set.ts'
import type { AdminContext } from '../admin-context.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'
import {
  clientIsActive,
  clientRow,
  connectionColumns,
  consoleRow,
  holdersOf,
  replicationRow,
  serverRow,
} from '../connection-rows.ts'

/** Where the state is among the columns. */
const STATE = 4

const columns = [
  ...connectionColumns,
  ...columnsOf('recv_pos i, pkt_pos i, pkt_remain i, send_pos i, send_remain i, pkt_avail i, send_avail i'),
]

/** SHOW SOCKETS: clients and servers as one list. Nothing is kept of what was received: those positions are 0. */
export const showSockets: ShowCommand = {
  name: 'SOCKETS',
  access: 'stats',
  columns,
  rows: (context) => rowsOf(context, false),
}

/** SHOW ACTIVE_SOCKETS: those of clients that have a server, and of these servers. */
export const showActiveSockets: ShowCommand = {
  name: 'ACTIVE_SOCKETS',
  access: 'stats',
  columns,
  rows: (context) => rowsOf(context, true),
}

function rowsOf(context: AdminContext, activeOnly: boolean): Value[][] {
  const { multiplexer, consoles, pools } = context
  const holders = holdersOf(context)
  const sessions = [...multiplexer.sessions].filter((session) => !activeOnly || clientIsActive(session))
  const clients = sessions.map((session) =>
    socketRow('cl', clientRow(session), session.client.wire.pendingBytes),
  )
  const replications = [...multiplexer.replications].map((session) =>
    socketRow('cl', replicationRow(session), session.client.wire.pendingBytes),
  )
  const others = activeOnly ? [] : [...consoles].map((one) => socketRow('cl', consoleRow(one), 0))
  const servers = [...pools].flatMap((pool) =>
    [...pool.supply.servers]
      .filter((server) => !activeOnly || holders.has(server))
      .map((server) =>
        socketRow('sv', serverRow(pool, server, holders.get(server)), server.wire.pendingBytes),
      ),
  )
  return [...clients, ...replications, ...others, ...servers]
}

function socketRow(side: 'cl' | 'sv', row: Value[], pendingBytes: number): Value[] {
  const states = row.map((value, index) => (index === STATE ? `${side}_${value}` : value))
  return [...states, 0, 0, 0, 0, 0, 0, pendingBytes]
}
