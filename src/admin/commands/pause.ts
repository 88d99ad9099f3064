import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'

export const pause: ActionCommand = {
  name: 'PAUSE',
  usage: '[<db>]',
  run: ({ control }, database) => control.pause(notTheConsole('pause', database)),
  undo: ({ control }, database) => control.resume(database),
}
