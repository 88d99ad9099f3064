import { PoolerError, SqlState } from '../../errors.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW FDS: refused. It exists in PgBouncer to hand sockets to another process, and shows passwords. */
export const showFds: ShowCommand = {
  name: 'FDS',
  access: 'admin',
  columns: columnsOf('fd i'),
  rows() {
    throw new PoolerError(
      SqlState.FeatureNotSupported,
      'SHOW FDS is not supported: sockets are not handed to another process here',
      { severity: 'ERROR' },
    )
  },
}
