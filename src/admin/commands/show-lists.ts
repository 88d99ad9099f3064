import { ServerState } from '../../server/server-state.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW LISTS: how much there is of everything. Nothing is kept free for later: those rows are 0. */
export const showLists: ShowCommand = {
  name: 'LISTS',
  access: 'stats',
  columns: columnsOf('list s, items i'),
  rows({ config, pools, multiplexer, consoles }) {
    const all = [...pools]
    const sessions = multiplexer.clients.length
    const servers = all.flatMap((pool) => [...pool.supply.servers])
    const idle = servers.filter(({ state }) => state === ServerState.Idle).length
    return [
      ['databases', config().databases.size + 1],
      ['users', config().users.size],
      ['peers', 0],
      ['pools', all.length + 1],
      ['peer_pools', 0],
      ['free_clients', 0],
      ['used_clients', sessions + [...consoles].length],
      ['login_clients', multiplexer.clientCount - sessions],
      ['free_servers', idle],
      ['used_servers', servers.length - idle],
      ['dns_names', 0],
      ['dns_zones', 0],
      ['dns_queries', 0],
      ['dns_pending', 0],
    ]
  },
}
