import { consoleError } from './parse-command.ts'

/** The database that a command is about. Throws PgBouncer's error for the console itself. */
export function notTheConsole(verb: string, database: string | undefined): string | undefined {
  if (database === 'pgbouncer' || database === 'pooler')
    throw consoleError(`cannot ${verb} admin db: ${database}`)
  return database
}
