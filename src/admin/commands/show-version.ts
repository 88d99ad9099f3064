import { version } from '../../config/version.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'
import { COMPATIBLE_VERSION } from '../compatible-version.ts'

/** SHOW VERSION: tools look for the first words. */
export const showVersion: ShowCommand = {
  name: 'VERSION',
  access: 'stats',
  columns: columnsOf('version s'),
  rows: () => [[`PgBouncer ${COMPATIBLE_VERSION} (pooler ${version})`]],
}
