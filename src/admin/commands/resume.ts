import type { ActionCommand } from '../command.ts'

export const resume: ActionCommand = {
  name: 'RESUME',
  usage: '[<db>]',
  run: ({ control }, database) => control.resume(database),
}
