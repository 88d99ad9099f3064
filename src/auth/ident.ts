import { AccessFileProblems, AccessLineError, shown } from './access-file-problems.ts'
import { AccessFileReader } from './access-file-reader.ts'
import type { AccessFiles } from './access-files.ts'
import { type AccessName, coversUser, cutName, userName } from './access-name.ts'
import { AccessPattern } from './access-pattern.ts'
import type { Field, Token } from './access-tokens.ts'

/**
 * IdentMaps: which database users somebody may be whom a certificate names: the maps of pg_ident.conf. Read
 * at start and on reload, asked by LoginPolicy for `cert` with map=. Immutable.
 * Source: PostgreSQL documentation, "User Name Maps"; PgBouncer setting auth_ident_file.
 */

interface IdentEntry {
  readonly map: string
  readonly systemUser: string | AccessPattern
  /** A text with \1 is put together from the pattern's first group at each match. */
  readonly databaseUser: AccessName | { readonly kind: 'template'; readonly template: string }
}

const GROUP = '\\1'

/**
 * The maps in `text`, which stands in the file `path`; included files come from `files`. Throws one
 * PoolerError F0000 with file, line number and reason for every bad line.
 */
export function parseIdent(text: string, path: string, files: AccessFiles): IdentMaps {
  const problems = new AccessFileProblems()
  const entries: IdentEntry[] = []
  const reader = new AccessFileReader(files, problems, (fields) => entries.push(parseEntry(fields)))
  reader.read(text, path)
  problems.throwIfAny()
  return new IdentMaps(entries)
}

export class IdentMaps {
  readonly #entries: readonly IdentEntry[]

  constructor(entries: readonly IdentEntry[] = []) {
    this.#entries = entries
  }

  has(map: string): boolean {
    return this.#entries.some((entry) => entry.map === map)
  }

  /** May whom the outside calls `systemUser` be `databaseUser`, by any line of the map? */
  mapUser(map: string, systemUser: string, databaseUser: string): boolean {
    const user = cutName(databaseUser)
    return this.#entries.some((entry) => entry.map === map && allows(entry, systemUser, user))
  }
}

function allows({ systemUser, databaseUser }: IdentEntry, outside: string, user: string): boolean {
  if (typeof systemUser === 'string') {
    return systemUser === outside && databaseUser.kind !== 'template' && coversUser([databaseUser], user)
  }
  const match = systemUser.match(outside)
  if (match === undefined) return false
  if (databaseUser.kind !== 'template') return coversUser([databaseUser], user)
  // A replacement function: what the group matched may contain a $.
  const expanded = databaseUser.template.replace(GROUP, () => match.group ?? '')
  return match.group !== undefined && cutName(expanded) === user
}

function parseEntry(fields: readonly Field[]): IdentEntry {
  const [map, system, database, ...more] = fields.map(oneToken)
  if (map === undefined || system === undefined || database === undefined || more.length > 0) {
    throw new AccessLineError('expected three fields: map name, system user name, database user name')
  }
  if (!system.text.startsWith('/')) {
    return { map: map.text, systemUser: system.text, databaseUser: userName(database) }
  }
  const systemUser = new AccessPattern(system.text.slice(1))
  const isTemplate = !database.text.startsWith('/') && database.text.includes(GROUP)
  if (!isTemplate) return { map: map.text, systemUser, databaseUser: userName(database) }
  if (!systemUser.hasGroup) {
    throw new AccessLineError(
      `the regular expression ${shown(system.text)} has no parentheses for the \\1 in ${shown(database.text)}`,
    )
  }
  if (systemUser.groupIsAmbiguous) {
    throw new AccessLineError(
      `alternatives with | inside or in front of the parentheses that \\1 means are not supported in ` +
        `${shown(system.text)}: write one line for each`,
    )
  }
  return { map: map.text, systemUser, databaseUser: { kind: 'template', template: database.text } }
}

function oneToken(field: Field): Token {
  const [token, second] = field
  if (token !== undefined && second === undefined) return token
  throw new AccessLineError('each field takes one value: write one line for each')
}
