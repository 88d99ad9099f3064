import { type Config, type DatabaseConfig, findDatabase } from '../config/config.ts'
import { poolPolicy } from '../config/pool-policy.ts'
import type { Logger } from '../log.ts'

/**
 * warnOfFewDescriptors: compares the limit of open files with what the configuration may need, and logs one line
 * where it is too low. Nothing is lowered: how many clients are let in stays what max_client_conn says until the
 * last descriptors are reached. Called by cli.ts at start; `limit` is undefined where the system tells none.
 */
export function warnOfFewDescriptors(config: Config, limit: number | undefined, log: Logger): void {
  const { max_client_conn: clients } = config.pooler
  const servers = knownServers(config)
  const needed = clients + servers + OWN_DESCRIPTORS
  if (limit === undefined || limit >= needed) return
  log.warn(
    { limit, needed, max_client_conn: clients, servers },
    `the limit of open files is ${limit}, but ${clients} clients (max_client_conn), at least ${servers} server ` +
      `connections and ${OWN_DESCRIPTORS} other files may need ${needed}: raise it ("ulimit -Hn", or LimitNOFILE= ` +
      'in the systemd unit), or lower max_client_conn; when it is reached, clients are refused with 53300',
  )
}

/** Standard streams, listeners, what Node.js keeps open, files being read, cancel requests, auth_query. */
const OWN_DESCRIPTORS = 64
/** What clients of [databases."*"] ask for is not known: they count as one database. */
const ANY_NAME = 'any'

/**
 * The server connections of the databases and users that the configuration names: at least as many may be opened.
 * Users of auth_file and auth_query, further databases of "*" and pools without limit come on top.
 */
function knownServers(config: Config): number {
  const fallback = findDatabase(config, ANY_NAME)
  const databases = new Set([...config.databases.values(), ...(fallback === undefined ? [] : [fallback])])
  let servers = 0
  for (const database of databases) {
    for (const user of poolUsers(config, database)) {
      const { size } = poolPolicy(config, database, user)
      if (Number.isFinite(size)) servers += size
    }
  }
  return servers
}

/** Each has a pool of its own, unless the database forces one user; with none known there is still somebody. */
function poolUsers(config: Config, database: DatabaseConfig): string[] {
  if (database.user !== undefined) return [database.user]
  const names = [...config.users.keys()]
  return names.length > 0 ? names : ['']
}
