import type { ShutdownMode } from '../../control/pooler-control.ts'
import type { ActionCommand } from '../command.ts'
import { consoleError } from '../parse-command.ts'

const MODES: ReadonlyMap<string, ShutdownMode> = new Map([
  ['', 'immediate'],
  ['WAIT_FOR_SERVERS', 'wait_for_servers'],
  ['WAIT_FOR_CLIENTS', 'wait_for_clients'],
])

/** SHUTDOWN: answered at once; the console is closed with everything else. */
export const shutdown: ActionCommand = {
  name: 'SHUTDOWN',
  usage: '[ WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS ]',
  run({ control, log }, argument = '') {
    const mode = MODES.get(argument.toUpperCase())
    if (mode === undefined) throw consoleError('bad arguments')
    control.shutdown(mode).catch((error: unknown) => log.error({ err: error }, 'shutdown failed'))
  },
}
