import type { ConsoleConnection, Row } from './console-connection.ts'

/** Snapshot: what the console said at one moment. */
export interface Snapshot {
  /** Milliseconds of a clock that never goes back. */
  readonly atMs: number
  readonly version: string
  /** SHOW STATE: active, paused, suspended. */
  readonly state: readonly Row[]
  readonly pools: readonly Row[]
  readonly totals: readonly Row[]
  readonly waiters: readonly Row[]
  readonly errors: readonly Row[]
}

/** The console counts as a database, too; who looks at the pooler is not what he looks for. */
function isNotTheConsole({ database }: Row): boolean {
  return database !== 'pgbouncer'
}

/** Rejects with a PoolerError, also for a console that lacks SHOW WAITERS: PgBouncer's own. */
export async function takeSnapshot(console: ConsoleConnection): Promise<Snapshot> {
  const [version] = await console.ask('SHOW VERSION')
  return {
    version: version?.version ?? '',
    state: await console.ask('SHOW STATE'),
    pools: (await console.ask('SHOW POOLS')).filter(isNotTheConsole),
    totals: (await console.ask('SHOW STATS_TOTALS')).filter(isNotTheConsole),
    waiters: await console.ask('SHOW WAITERS'),
    errors: await console.ask('SHOW ERRORS'),
    atMs: performance.now(),
  }
}
