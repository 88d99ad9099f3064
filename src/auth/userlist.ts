import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { PoolerError, SqlState } from '../errors.ts'
import { parseSecret, type UserSecret } from './user-secret.ts'

/**
 * The userlist file: one `"user" "secret"` a line, read at start and on reload. Owns no state.
 * Source: PgBouncer setting auth_file, "Authentication file format".
 */

const NOTHING_OR_COMMENT = /^\s*(?:[;#].*)?$/
/** Two quoted strings, "" being a quote inside one; whatever follows them is ignored. */
const ENTRY = /^\s*"((?:[^"]|"")*)"\s*"((?:[^"]|"")*)"/
const MAX_REPORTED_PROBLEMS = 10

/** Reads and parses the file; throws PoolerError F0000 when it cannot be read or is malformed. */
export async function loadUserlist(path: string): Promise<Map<string, UserSecret>> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PoolerError(
      SqlState.ConfigurationError,
      `cannot read auth_file ${path}: ${cause.code ?? cause.message}; create it or make it readable`,
      { cause },
    )
  })
  if (!isUtf8(bytes)) {
    throw new PoolerError(
      SqlState.ConfigurationError,
      `auth_file ${path} is not UTF-8 text; save it as UTF-8`,
    )
  }
  return parseUserlist(bytes.toString(), path)
}

/**
 * The users in a file's text; a name that comes twice has the later secret. Throws one PoolerError F0000 for
 * all bad lines, with file and line numbers and never with a part of a secret.
 */
export function parseUserlist(text: string, path: string): Map<string, UserSecret> {
  const users = new Map<string, UserSecret>()
  const problems: string[] = []
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    const problem = parseLine(line, users)
    if (problem !== undefined) problems.push(`${path}:${index + 1}: ${problem}`)
  }
  if (problems.length === 0) return users
  const shown = problems.slice(0, MAX_REPORTED_PROBLEMS)
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`)
  throw new PoolerError(SqlState.ConfigurationError, shown.join('\n'))
}

/** Adds the line's user, or returns what is wrong with it. */
function parseLine(line: string, users: Map<string, UserSecret>): string | undefined {
  if (NOTHING_OR_COMMENT.test(line)) return undefined
  const entry = ENTRY.exec(line)
  if (entry === null) return 'expected "user" "password", each in double quotes, a quote inside doubled'
  const user = unquote(entry[1])
  if (user === '' || user.includes('\0')) return 'the user name is empty or contains a NUL byte'
  try {
    users.set(user, parseSecret(unquote(entry[2])))
    return undefined
  } catch (error) {
    if (error instanceof PoolerError) return error.message
    throw error
  }
}

function unquote(text: string | undefined): string {
  return (text ?? '').replaceAll('""', '"')
}
