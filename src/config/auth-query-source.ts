import type { Config, DatabaseConfig } from './config.ts'
import { findDatabase } from './config.ts'

/**
 * Which auth_query is asked for the clients of a database: the settings of the database's section win over those
 * of [pooler], each by itself. Used by the composition root. Source: PgBouncer settings auth_user, auth_query,
 * auth_dbname.
 */
export interface AuthQuerySource {
  /** The same for all databases whose clients' secrets come from the same place by the same query. */
  readonly key: string
  /** Where the query runs. */
  readonly database: DatabaseConfig
  /** Who runs it: the auth_user. */
  readonly user: string
  readonly query: string
}

/** PgBouncer's default, which looks at VALID UNTIL. */
const DEFAULT_QUERY =
  'SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END ' +
  'FROM pg_authid WHERE rolname=$1 AND rolcanlogin'

/**
 * The source for clients of the database that they call `databaseName`; undefined without an auth_user, and for
 * an unknown database without an auth_dbname: then nobody can be asked.
 */
export function authQuerySource(config: Config, databaseName: string): AuthQuerySource | undefined {
  const asked = findDatabase(config, databaseName)
  const user = asked?.auth_user ?? config.pooler.auth_user
  if (user === undefined) return undefined
  const elsewhere = asked?.auth_dbname ?? config.pooler.auth_dbname
  const database = elsewhere === undefined ? asked : findDatabase(config, elsewhere)
  if (database === undefined) return undefined
  const query = asked?.auth_query ?? config.pooler.auth_query ?? DEFAULT_QUERY
  const { host, port, dbname } = database
  // The name stands for everything else about the connection, such as TLS.
  const key = JSON.stringify([database.name, host, port, dbname, user, query])
  return Object.freeze({ key, database, user, query })
}

/** True where there is an auth_user at all: without one, only the users of the files are known. */
export function usesAuthQuery({ pooler, databases, fallbackDatabase }: Config): boolean {
  const all = [pooler, fallbackDatabase, ...databases.values()]
  return all.some((section) => section?.auth_user !== undefined)
}

/**
 * What is wrong with the settings about auth_query taken together, a line for each, with its key: one that would
 * have no effect, and an auth_dbname that is no database. The composition root refuses to start with any.
 */
export function authQueryProblems(config: Config): string[] {
  const problems: string[] = []
  const { pooler, fallbackDatabase } = config
  const sections = [...config.databases].map(([name, database]) => [`databases.${name}`, database] as const)
  const own = [
    ...sections,
    ...(fallbackDatabase === undefined ? [] : [['databases."*"', fallbackDatabase] as const]),
  ]
  for (const [key, { auth_user, auth_query, auth_dbname }] of own) {
    if (auth_dbname !== undefined) checkDatabase(`${key}.auth_dbname`, auth_dbname)
    if (auth_user !== undefined || pooler.auth_user !== undefined) continue
    if (auth_query !== undefined) problems.push(`${key}.auth_query: ${NO_USER}`)
    if (auth_dbname !== undefined) problems.push(`${key}.auth_dbname: ${NO_USER}`)
  }
  if (pooler.auth_query !== undefined && !usesAuthQuery(config))
    problems.push(`pooler.auth_query: ${NO_USER}`)
  if (pooler.auth_dbname !== undefined) {
    checkDatabase('pooler.auth_dbname', pooler.auth_dbname)
    if (!usesAuthQuery(config)) problems.push(`pooler.auth_dbname: ${NO_USER}`)
  }
  return problems

  function checkDatabase(key: string, name: string): void {
    if (findDatabase(config, name) !== undefined) return
    problems.push(
      `${key}: there is no [databases.${JSON.stringify(name)}] and no [databases."*"]; add one of them`,
    )
  }
}

const NO_USER = 'has no effect without an auth_user here or in [pooler]; set one, or remove the line'
