import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/**
 * SHOW PROMOTED: what prepare_unnamed does, in the words of the metrics: how many texts are prepared now, and the
 * counts since the start. Not in PgBouncer.
 */
export const showPromoted: ShowCommand = {
  name: 'PROMOTED',
  access: 'stats',
  columns: columnsOf('key s, count q'),
  rows({ registry: { promoted } }) {
    return [
      ['statements', promoted.size],
      ['promoted', promoted.promotions],
      ['reused', promoted.reuses],
      ['replanned', promoted.replans],
      ['repeated', promoted.repeats],
      ['evicted', promoted.evictions],
    ]
  },
}
