import { readFile } from 'node:fs/promises'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'

/**
 * The account that PostgreSQL's processes run as. PostgreSQL refuses to run as root, so a pooler that was
 * started as root gives its children an account that exists on the machine already: nothing is created.
 */

/** An account of the machine, as spawn() takes it. */
export interface UnprivilegedUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

const PREFERRED_NAMES = ['postgres', 'nobody']

/**
 * The account for PostgreSQL's processes, or null where this process is not root and can run them itself.
 * @throws EmbeddedPostgresError where the machine has none of the known accounts
 */
export async function unprivilegedUser(): Promise<UnprivilegedUser | null> {
  if (process.getuid?.() !== 0) return null
  return chooseUser(await readFile('/etc/passwd', 'utf8'))
}

/**
 * The account in `passwd` (text of /etc/passwd, see passwd(5)) that suits PostgreSQL best.
 * @throws EmbeddedPostgresError where there is none
 */
export function chooseUser(passwd: string): UnprivilegedUser {
  const users = passwd.split('\n').flatMap(parseLine)
  for (const name of PREFERRED_NAMES) {
    const user = users.find((candidate) => candidate.name === name)
    if (user !== undefined) return user
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL does not run as root, and /etc/passwd has neither a user "postgres" nor a user "nobody" to run it as: ' +
      'start the pooler as another user, or add one of them',
  )
}

function parseLine(line: string): UnprivilegedUser[] {
  const [name, , uidText, gidText] = line.split(':')
  const uid = Number(uidText)
  const gid = Number(gidText)
  if (!name || !uidText || !gidText || !Number.isInteger(uid) || !Number.isInteger(gid) || uid === 0)
    return []
  return [{ name, uid, gid }]
}
