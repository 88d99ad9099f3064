/**
 * checkAutoSize: what is wrong with pool_size = "auto" in view of the other settings. Called by config.ts once all
 * sections are read.
 */
import type { Report } from './read-section.ts'
import type { SettingsOf } from './settings.ts'

type Sized = Pick<SettingsOf<'user'>, 'pool_size' | 'pool_mode'>

interface SizedSections {
  readonly pooler: SettingsOf<'pooler'>
  readonly databases: ReadonlyMap<string, Sized>
  readonly fallbackDatabase: Sized | undefined
  readonly users: ReadonlyMap<string, Sized>
}

export function checkAutoSize(
  { pooler, databases, fallbackDatabase, users }: SizedSections,
  report: Report,
): void {
  const check = (path: readonly string[], { pool_size, pool_mode }: Sized, otherwise?: string): void => {
    if (pool_size !== 'auto') return
    const problem = (message: string): void => report([...path, 'pool_size'], message)
    if (pooler.default_pool_size === 0)
      problem('"auto" needs a limit: set default_pool_size to more than 0, which is unlimited')
    if ((pool_mode ?? otherwise) === 'session')
      problem('"auto" is for transactions, and in session pooling clients keep their servers: set a number')
  }
  for (const [name, database] of databases) check(['databases', name], database, pooler.pool_mode)
  if (fallbackDatabase !== undefined) check(['databases', '*'], fallbackDatabase, pooler.pool_mode)
  // The pool_mode of a database comes before that of [pooler], and may be another.
  const isAlwaysSession =
    pooler.pool_mode === 'session' &&
    [...databases.values(), fallbackDatabase].every(
      (database) => (database?.pool_mode ?? 'session') === 'session',
    )
  for (const [name, user] of users) check(['users', name], user, isAlwaysSession ? 'session' : undefined)
}
