import { PoolerError } from '../errors.ts'
import type { AdminContext } from './admin-context.ts'

/**
 * What Ctrl-C, or the end of the connection, does to a PAUSE or SUSPEND that still waits: RESUME of the same database,
 * or of all. Source: PgBouncer, usage.md, "PAUSE"; admin_handle_cancel() in admin.c.
 */
export function resumeIfPaused({ control }: AdminContext, database: string | undefined): void {
  try {
    control.resume(database)
  } catch (error) {
    // Somebody else has resumed it in this very moment, or a reload has taken the database away.
    if (!(error instanceof PoolerError)) throw error
  }
}
