import type { ActionCommand } from '../command.ts'
import { resumeIfPaused } from '../resume-if-paused.ts'

export const suspend: ActionCommand = {
  name: 'SUSPEND',
  usage: '',
  run: ({ control }) => control.suspend(),
  interrupt: resumeIfPaused,
}
