import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** What PgBouncer has and a pooler without peers and zones of names has not: tables with the same columns, empty. */
export const showPeers = empty('PEERS', 'peer_id i, host s, port i, pool_size i')
export const showPeerPools = empty(
  'PEER_POOLS',
  'peer_id i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active_cancel i, sv_login i',
)
export const showDnsZones = empty('DNS_ZONES', 'zonename s, serial q, count i')

function empty(name: string, columns: string): ShowCommand {
  return { name, access: 'stats', columns: columnsOf(columns), rows: () => [] }
}
