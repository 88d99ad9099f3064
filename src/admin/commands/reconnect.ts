import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'

export const reconnect: ActionCommand = {
  name: 'RECONNECT',
  usage: '[<db>]',
  run: ({ control }, database) => control.reconnect(notTheConsole('reconnect', database)),
}
