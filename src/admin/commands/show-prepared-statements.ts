import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW PREPARED_STATEMENTS: what clients have prepared, once per text, most used first. Not in PgBouncer. */
export const showPreparedStatements: ShowCommand = {
  name: 'PREPARED_STATEMENTS',
  // The texts are the applications' own.
  access: 'admin',
  columns: columnsOf('name s, clients i, references i, bytes q, query s'),
  rows: ({ registry }) =>
    [...registry]
      .sort((one, other) => other.names - one.names)
      .map((statement): Value[] => [
        statement.name,
        statement.names,
        statement.references,
        statement.textBytes,
        statement.query,
      ]),
}
