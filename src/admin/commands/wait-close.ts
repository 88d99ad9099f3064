import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'

export const waitClose: ActionCommand = {
  name: 'WAIT_CLOSE',
  usage: '[<db>]',
  run: ({ control }, database) => control.waitClose(notTheConsole('wait in', database)),
  // It only waits.
  interrupt() {},
}
