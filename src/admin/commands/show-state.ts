import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

export const showState: ShowCommand = {
  name: 'STATE',
  access: 'stats',
  columns: columnsOf('key s, value s'),
  rows({ pools, multiplexer }) {
    const yes = (holds: boolean): string => (holds ? 'yes' : 'no')
    const { suspended } = multiplexer
    return [
      ['active', yes(!pools.allPaused && !suspended)],
      ['paused', yes(pools.allPaused)],
      ['suspended', yes(suspended)],
    ]
  },
}
