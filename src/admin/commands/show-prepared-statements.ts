import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/**
 * SHOW PREPARED_STATEMENTS: what clients have prepared, and what stands for their unnamed statements (promoted, which is
 * no client's), once per text, most used first. Not in PgBouncer.
 */
export const showPreparedStatements: ShowCommand = {
  name: 'PREPARED_STATEMENTS',
  // The texts are the applications' own.
  access: 'admin',
  columns: columnsOf('name s, clients i, references i, bytes q, query s, promoted i'),
  rows: ({ registry }) =>
    [...registry]
      .sort((one, other) => other.names - one.names)
      .map((statement): Value[] => {
        const promoted = registry.promoted.has(statement)
        return [
          statement.name,
          promoted ? 0 : statement.names,
          statement.references,
          statement.textBytes,
          statement.query,
          Number(promoted),
        ]
      }),
}
