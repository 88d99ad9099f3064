import type { ShowCommand } from '../command.ts'
import { connectionColumns, holdersOf, serverRow } from '../connection-rows.ts'

export const showServers: ShowCommand = {
  name: 'SERVERS',
  access: 'stats',
  columns: connectionColumns,
  rows(context) {
    const holders = holdersOf(context)
    return [...context.pools].flatMap((pool) =>
      [...pool.supply.servers].map((server) => serverRow(pool, server, holders.get(server))),
    )
  },
}
