import type { ShowCommand } from '../command.ts'
import { clientRow, connectionColumns, consoleRow, replicationRow } from '../connection-rows.ts'

export const showClients: ShowCommand = {
  name: 'CLIENTS',
  access: 'stats',
  columns: connectionColumns,
  rows: ({ multiplexer, consoles }) => [
    ...[...multiplexer.sessions].map(clientRow),
    ...[...multiplexer.replications].map(replicationRow),
    ...[...consoles].map(consoleRow),
  ],
}
