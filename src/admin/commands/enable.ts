import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'
import { consoleError } from '../parse-command.ts'

export const enable: ActionCommand = {
  name: 'ENABLE',
  usage: '<db>',
  run({ control }, database) {
    if (database === undefined) throw consoleError('a database is required')
    control.enable(notTheConsole('enable', database) ?? database)
  },
}
