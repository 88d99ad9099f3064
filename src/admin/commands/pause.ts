import type { ActionCommand } from '../command.ts'
import { notTheConsole } from '../not-the-console.ts'
import { resumeIfPaused } from '../resume-if-paused.ts'

export const pause: ActionCommand = {
  name: 'PAUSE',
  usage: '[<db>]',
  run: ({ control }, database) => control.pause(notTheConsole('pause', database)),
  interrupt: resumeIfPaused,
}
