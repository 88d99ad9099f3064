import { SqlState } from '../../errors.ts'
import type { ActionCommand } from '../command.ts'
import { consoleError } from '../parse-command.ts'

/** RELOAD: what is wrong with a file is said in full in the log, where operators look for it, and here. */
export const reload: ActionCommand = {
  name: 'RELOAD',
  usage: '',
  async run({ control, log }) {
    try {
      await control.reload()
    } catch (error) {
      log.error({ err: error }, 'reload failed, everything stays as it was')
      throw consoleError('RELOAD failed, see logs for additional details', SqlState.ConfigurationError)
    }
  },
}
