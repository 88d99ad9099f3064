/**
 * readIniInput: a pgbouncer.ini -> a configuration in the shape of a pooler.toml, with PgBouncer's defaults in it, and
 * what has to be said about it. Called by load-ini.ts and import-toml.ts; what the values mean is checked by config.ts.
 */
import { resolve } from 'node:path'
import { keyPath } from './config.ts'
import type { ConfigProblem } from './config-error.ts'
import { parseConnectionString } from './connection-string.ts'
import { inFileOrder } from './file-order.ts'
import { readIniEntries } from './ini-entries.ts'
import type { IniNotice, IniReport } from './ini-section.ts'
import { IniSection } from './ini-section.ts'
import { nearestName } from './nearest-name.ts'
import { pgbouncerDefaults } from './pgbouncer-defaults.ts'

export interface IniInput {
  readonly pooler: IniSection
  readonly databases: ReadonlyMap<string, IniSection>
  readonly users: ReadonlyMap<string, IniSection>
  readonly notices: readonly IniNotice[]
  readonly problems: readonly ConfigProblem[]
}

const SECTIONS = ['pgbouncer', 'databases', 'users', 'peers']
const PEER_KEYS = ['host', 'port', 'pool_size']

/** Relative paths start at the working directory, as with PgBouncer. Rejects with no error: problems are in the result. */
export async function readIniInput(path: string): Promise<IniInput> {
  const problems: ConfigProblem[] = []
  const notices: IniNotice[] = []
  const said: IniReport = { problems, notices }
  const pooler = new IniSection('pooler', ['pgbouncer'], path, said)
  const databases = new Map<string, IniSection>()
  const users = new Map<string, IniSection>()
  let peersPlace: string | undefined

  for (const { section, key, value, place } of await readIniEntries(path, problems)) {
    const problem = (what: string | undefined, message: string): void => {
      problems.push({ file: place, key: keyPath(what === undefined ? [section] : [section, what]), message })
    }
    if (!SECTIONS.includes(section)) {
      if (key === undefined) problem(undefined, unknownSection(section))
    } else if (key === undefined) continue
    else if (section === 'pgbouncer') pooler.set(key, value, place, 'base 0')
    else {
      const pairs = parseConnectionString(value)
      if ('problem' in pairs) problem(key, pairs.problem)
      else if (section === 'peers') {
        peersPlace ??= place
        for (const [name] of pairs)
          if (!PEER_KEYS.includes(name)) problem(key, `unknown setting ${JSON.stringify(name)} of a peer`)
      } else {
        const isDatabase = section === 'databases'
        const made = new IniSection(isDatabase ? 'database' : 'user', [section, key], place, said)
        for (const [name, text] of pairs) made.set(name, text, place, 'decimal')
        // A name that comes twice has its later entry.
        const home = isDatabase ? databases : users
        home.set(key, made)
      }
    }
  }
  if (peersPlace !== undefined) {
    notices.push({
      place: peersPlace,
      text: '[peers] has no effect: one process serves all clients and their cancel requests',
    })
  }
  fillDefaults(pooler, databases)
  dropWhatHasNoEffect(pooler, databases)
  const ofSessions = (section: IniSection): boolean => (section.get('pool_mode') ?? 'session') === 'session'
  if ([pooler, ...databases.values(), ...users.values()].every(ofSessions))
    pooler.excuse('server_reset_query_always', 'with session pooling server_reset_query is always run')
  return { pooler, databases, users, notices: inFileOrder(notices, ({ place }) => place), problems }
}

/** An .ini means PgBouncer's defaults. */
function fillDefaults(pooler: IniSection, databases: ReadonlyMap<string, IniSection>): void {
  for (const [name, { value }] of Object.entries(pgbouncerDefaults)) pooler.fill(name, value)
  const folder = pooler.get('unix_socket_dir')
  for (const database of databases.values()) {
    if (database.get('host') !== undefined) continue
    if (typeof folder === 'string') database.fill('host', resolve(folder))
    else database.problem('host', 'expected a host: it would be unix_socket_dir, and there is none')
  }
}

/** Combinations that PgBouncer accepts although one of the settings does nothing; a pooler.toml is refused for them. */
function dropWhatHasNoEffect(pooler: IniSection, databases: ReadonlyMap<string, IniSection>): void {
  if (pooler.get('unix_socket_dir') === undefined) {
    for (const name of ['unix_socket_mode', 'unix_socket_group'])
      pooler.drop(name, 'there is no unix_socket_dir')
  }
  if (pooler.get('auth_type') !== 'hba') {
    for (const name of ['auth_hba_file', 'auth_ident_file']) pooler.drop(name, 'auth_type is not hba')
  }
  const asks = (section: IniSection): boolean => section.get('auth_user') !== undefined
  const queries = ['auth_query', 'auth_dbname']
  for (const database of databases.values()) {
    if (database.get('user') === undefined) database.drop('password', 'there is no user beside it')
    if (!asks(pooler) && !asks(database))
      for (const name of queries) database.drop(name, 'there is no auth_user')
  }
  if (!asks(pooler) && ![...databases.values()].some(asks))
    for (const name of queries) pooler.drop(name, 'there is no auth_user')
}

function unknownSection(name: string): string {
  if (name === 'pooler') return 'unknown section; in an .ini it is called [pgbouncer]'
  const near = nearestName(name, SECTIONS)
  return near === undefined
    ? 'unknown section; there are [pgbouncer], [databases], [users] and [peers]'
    : `unknown section; did you mean [${near}]?`
}
