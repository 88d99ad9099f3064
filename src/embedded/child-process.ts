import { spawn } from 'node:child_process'
import type { UnprivilegedUser } from './unprivileged-user.ts'

/**
 * Runs one of PostgreSQL's programs to its end, as the chosen account. Used for initdb and for the version
 * probe; the server itself is started by embedded-postgres.ts.
 */

export interface ProgramResult {
  /** 0 for success; null where a signal ended the program. */
  readonly exitCode: number | null
  /** What it wrote to stdout and stderr, in the order of arrival. */
  readonly output: string
}

export interface ProgramOptions {
  readonly user: UnprivilegedUser | null
  /** Descriptors that the program finds as 3, 4, ... */
  readonly descriptors?: readonly number[]
}

/**
 * Runs `file` and collects its output. Rejects only where it cannot be executed at all (ENOENT, EACCES).
 */
export function runProgram(
  file: string,
  parameters: readonly string[],
  { user, descriptors = [] }: ProgramOptions,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, parameters, {
      cwd: '/',
      env: programEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    })
    const chunks: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({ exitCode, output: Buffer.concat(chunks).toString('utf8') }))
  })
}

/**
 * The environment of PostgreSQL's programs: nothing of the operator's PGDATA, PGPORT or locale, which would
 * silently change what they do, and messages in English because we quote them.
 */
export function programEnvironment(): NodeJS.ProcessEnv {
  const { PATH, TZ } = process.env
  return { LC_ALL: 'C', ...(PATH === undefined ? {} : { PATH }), ...(TZ === undefined ? {} : { TZ }) }
}
