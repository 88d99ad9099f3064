import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'
import { consoleError } from '../parse-command.ts'

export const disable: ActionCommand = {
  name: 'DISABLE',
  usage: '<db>',
  run({ control }, database) {
    if (database === undefined) throw consoleError('a database is required')
    control.disable(notTheConsole('disable', database) ?? database)
  },
}
