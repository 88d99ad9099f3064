import { AccessLineError } from './access-file-problems.ts'
import { AccessPattern } from './access-pattern.ts'
import type { Token } from './access-tokens.ts'

/**
 * AccessName: one value of a database or user field of pg_hba.conf, or of pg_ident.conf's last field. Made by
 * their parsers. Source: PostgreSQL documentation, "The pg_hba.conf File": an unquoted keyword is a keyword,
 * what begins with a slash is a regular expression, also in quotes.
 */
export type AccessName =
  | { readonly kind: 'all' | 'sameuser' | 'replication' }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pattern'; readonly pattern: AccessPattern }

/** PostgreSQL's NAMEDATALEN - 1: what is longer is cut there, by the server too. */
const MAX_NAME_BYTES = 63

const NO_GROUPS =
  'groups of PostgreSQL are not known to the pooler: list the users, or name a file of them with @'

/** A value of a database field. Throws AccessLineError. */
export function databaseName(token: Token): AccessName {
  const { text, quoted } = token
  if (!quoted && (text === 'sameuser' || text === 'replication')) return { kind: text }
  if (!quoted && (text === 'samerole' || text === 'samegroup')) {
    throw new AccessLineError(`"${text}" is not supported: ${NO_GROUPS}`)
  }
  return anyName(token)
}

/** A value of a user field. Throws AccessLineError. */
export function userName(token: Token): AccessName {
  if (!token.quoted && token.text.startsWith('+')) {
    throw new AccessLineError(`"+group" is not supported: ${NO_GROUPS}`)
  }
  return anyName(token)
}

/** Does one of `names`, which are of users, cover `user`? Both cut as PostgreSQL cuts them. */
export function coversUser(names: readonly AccessName[], user: string): boolean {
  return names.some((name) => matches(name, user))
}

/** Does one of `names`, which are of databases, cover `database` for this user? */
export function coversDatabase(names: readonly AccessName[], database: string, user: string): boolean {
  return names.some((name) => (name.kind === 'sameuser' ? database === user : matches(name, database)))
}

/** A physical replication connection belongs to no database: only the keyword covers it. */
export function coversReplication(names: readonly AccessName[]): boolean {
  return names.some((name) => name.kind === 'replication')
}

/** The first 63 bytes of a name, at a character's boundary. */
export function cutName(name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  let cut = ''
  let bytes = 0
  for (const character of name) {
    bytes += Buffer.byteLength(character)
    if (bytes > MAX_NAME_BYTES) break
    cut += character
  }
  return cut
}

function anyName({ text, quoted }: Token): AccessName {
  if (!quoted && text === 'all') return { kind: 'all' }
  if (!text.startsWith('/')) return { kind: 'name', name: cutName(text) }
  return { kind: 'pattern', pattern: new AccessPattern(text.slice(1)) }
}

function matches(name: AccessName, text: string): boolean {
  switch (name.kind) {
    case 'all':
      return true
    case 'name':
      return name.name === text
    case 'pattern':
      return name.pattern.match(text) !== undefined
    case 'sameuser':
    case 'replication':
      return false
  }
}
