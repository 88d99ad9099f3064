import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'

export const kill: ActionCommand = {
  name: 'KILL',
  usage: '[<db>]',
  run: ({ control }, database) => control.kill(notTheConsole('kill', database)),
}
