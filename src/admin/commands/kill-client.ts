import { PoolerError, SqlState } from '../../errors.ts'
import type { ActionCommand } from '../command.ts'
import { pointer } from '../connection-rows.ts'
import { consoleError } from '../parse-command.ts'

/** KILL_CLIENT: by the id or the ptr of SHOW CLIENTS. */
export const killClient: ActionCommand = {
  name: 'KILL_CLIENT',
  usage: '<id>',
  run({ multiplexer }, argument = '') {
    if (!/^(0x[0-9a-f]+|\d+)$/i.test(argument)) throw consoleError('invalid client pointer supplied')
    const matches = ({ client }: { client: { id: number } }): boolean =>
      String(client.id) === argument || pointer(client.id) === argument.toLowerCase()
    if (!multiplexer.clients.some(matches)) throw consoleError('client not found')
    multiplexer.disconnect(new PoolerError(SqlState.AdminShutdown, 'admin forced disconnect'), matches)
  },
}
