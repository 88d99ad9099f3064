import type { ActionCommand } from '../command.ts'

export const suspend: ActionCommand = {
  name: 'SUSPEND',
  usage: '',
  run: ({ control }) => control.suspend(),
  undo: ({ control }) => control.resume(),
}
