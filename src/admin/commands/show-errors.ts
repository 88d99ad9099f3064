import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW ERRORS: the errors of its own that the pooler has ended connections with, most frequent first. Not in PgBouncer. */
export const showErrors: ShowCommand = {
  name: 'ERRORS',
  access: 'stats',
  columns: columnsOf('sqlstate s, message s, count q'),
  rows: ({ multiplexer }) =>
    [...multiplexer.errors]
      .sort((one, other) => other.count - one.count)
      .map(({ sqlState, message, count }): Value[] => [sqlState, message, count]),
}
