import { readFile } from 'node:fs/promises'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'

/** With what its types leave out. */
type ProcessOfUnix = typeof process & { initgroups?: (user: string, extraGroup: number) => void }

const ACCOUNTS = '/etc/passwd'

/**
 * becomeUser: gives this process, started as root, another account of the machine for good, with its groups: the
 * setting `user` and the option --user. Called by cli.ts once the configuration has been read and before anything is
 * opened, so that everything, also what a reload reads, is done by that account. Rejects with PoolerError F0000.
 */
export async function becomeUser(name: string): Promise<void> {
  const text = await readFile(ACCOUNTS, 'utf8').catch((error: Error) => {
    throw misconfigured(`${ACCOUNTS} cannot be read (${error.message})`, error)
  })
  const account = findAccount(text, name)
  if (account === undefined) {
    throw misconfigured(
      `there is no user ${JSON.stringify(name)} in ${ACCOUNTS}; start the pooler as that user instead of naming it`,
    )
  }
  const { setuid, setgid, initgroups, getuid }: ProcessOfUnix = process
  if (getuid?.() === account.uid) return
  if (getuid?.() !== 0 || setuid === undefined || setgid === undefined || initgroups === undefined) {
    throw misconfigured(
      `only a pooler that is started as root can become ${name}; start it as root, or as that user`,
    )
  }
  try {
    // In this order: after setuid() the rest would no longer be allowed.
    initgroups(name, account.gid)
    setgid(account.gid)
    setuid(account.uid)
  } catch (error) {
    throw misconfigured(`this process cannot become ${name}: ${(error as Error).message}`, error)
  }
}

/** Whoever finds a way into a process of root owns the machine; PgBouncer refuses to start as root. */
export function warnOfRoot(log: Logger): void {
  if (process.getuid?.() !== 0) return
  log.warn('the pooler runs as root, and needs nothing of it: start it as another user, or with --user')
}

/** The account with this name in the text of passwd(5). */
export function findAccount(passwd: string, name: string): { uid: number; gid: number } | undefined {
  for (const line of passwd.split('\n')) {
    const [account, , uid, gid] = line.split(':')
    if (account === name && /^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? ''))
      return { uid: Number(uid), gid: Number(gid) }
  }
  return undefined
}

function misconfigured(message: string, cause?: unknown): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, `user: ${message}`, { cause })
}
