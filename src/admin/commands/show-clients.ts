import type { ShowCommand } from '../command.ts'
import { clientRow, connectionColumns, consoleRow } from '../connection-rows.ts'

export const showClients: ShowCommand = {
  name: 'CLIENTS',
  access: 'stats',
  columns: connectionColumns,
  rows: ({ multiplexer, consoles }) => [
    ...[...multiplexer.sessions].map(clientRow),
    ...[...consoles].map(consoleRow),
  ],
}
