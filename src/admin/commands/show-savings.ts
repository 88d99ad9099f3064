import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/**
 * SHOW SAVINGS: what prepare_unnamed and lazy_begin do, in the words of the metrics: how many texts are prepared now, and
 * counts since the start. Not in PgBouncer.
 */
export const showSavings: ShowCommand = {
  name: 'SAVINGS',
  access: 'stats',
  columns: columnsOf('key s, count q'),
  rows({ registry: { promoted }, multiplexer: { lazyBegins } }) {
    return [
      ['promoted_statements', promoted.size],
      ['promoted_statements_promoted', promoted.promotions],
      ['promoted_statements_reused', promoted.reuses],
      ['promoted_statements_replanned', promoted.replans],
      ['promoted_statements_repeated', promoted.repeats],
      ['promoted_statements_evicted', promoted.evictions],
      ['lazy_begins', lazyBegins.begins],
      ['lazy_begins_empty', lazyBegins.empty],
    ]
  },
}
