import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runProgram } from './child-process.ts'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'
import { InheritedPaths } from './inherited-paths.ts'
import type { PostgresBinaries } from './postgres-binaries.ts'
import { isAlive } from './postmaster.ts'
import type { UnprivilegedUser } from './unprivileged-user.ts'

/**
 * The data folder of a cluster: is it there, is it whole, does it fit these binaries; and initdb where it is
 * not there yet. Called by embedded-postgres.ts before each start. It owns no state: the folder is the state.
 */

export interface InitOptions {
  readonly superuser: string
  readonly password: string
  /** How clients on 127.0.0.1 log in at first (pg_hba.conf, PostgreSQL documentation 20.1). */
  readonly authentication: string
  /** Further parameters for initdb. */
  readonly parameters?: readonly string[]
}

/**
 * True where `dataFolder` holds a cluster of these binaries, false where it is missing or empty.
 * @throws EmbeddedPostgresError where it holds something else
 */
export async function isInitialised(dataFolder: string, binaries: PostgresBinaries): Promise<boolean> {
  const names = await readdir(dataFolder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return []
    throw new EmbeddedPostgresError(`the data folder ${dataFolder} cannot be read (${error.code})`, error)
  })
  if (names.length === 0) return false
  const found = await readFile(join(dataFolder, 'PG_VERSION'), 'utf8').catch(() => null)
  if (found === null || !names.includes('global') || !names.includes('postgresql.conf')) {
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} is damaged: it has files, but no complete PostgreSQL cluster; ` +
        'restore it from a backup, or move it away to start with an empty one',
    )
  }
  const expected = await majorVersion(binaries)
  if (found.trim() !== expected) {
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} belongs to PostgreSQL ${found.trim()}, but the embedded PostgreSQL is ` +
        `${expected}: move it away, or choose another one with --data`,
    )
  }
  return true
}

/**
 * Makes a new cluster in `dataFolder`, which is missing or empty. initdb works in a folder beside it that is
 * renamed at the end, so that a crash in the middle leaves no half a cluster under the real name.
 * @throws EmbeddedPostgresError with initdb's own words where it fails
 */
export async function initialise(
  dataFolder: string,
  binaries: PostgresBinaries,
  user: UnprivilegedUser | null,
  options: InitOptions,
): Promise<void> {
  await removeAbandoned(dataFolder)
  const incomplete = `${dataFolder}${INCOMPLETE}${process.pid}`
  const passwordFile = `${incomplete}.password`
  const paths = new InheritedPaths(user)
  try {
    await mkdir(incomplete, { mode: 0o700 })
    await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 })
    if (user !== null) {
      await chown(incomplete, user.uid, user.gid)
      await chown(passwordFile, user.uid, user.gid)
    }
    const parameters = [
      `--pgdata=${await paths.add(incomplete)}`,
      `--pwfile=${await paths.add(passwordFile)}`,
      `--username=${options.superuser}`,
      `--auth=${options.authentication}`,
      '--encoding=UTF8',
      // The builtin provider sorts the same on every machine and needs no locale of the system.
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-locale',
      ...(options.parameters ?? []),
    ]
    const { exitCode, output } = await runProgram(binaries.initdb, parameters, {
      user,
      descriptors: paths.descriptors,
    })
    if (exitCode !== 0) throw initdbFailed(dataFolder, output)
    await rename(incomplete, dataFolder)
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} cannot be made (${(error as Error).message}): make ${dirname(dataFolder)} ` +
        'writable, or choose another folder with --data',
      error,
    )
  } finally {
    await paths.close()
    await rm(passwordFile, { force: true })
    await rm(incomplete, { recursive: true, force: true })
  }
}

/**
 * The account that must run PostgreSQL on an existing data folder: PostgreSQL starts only as the owner.
 * @throws EmbeddedPostgresError where this process cannot become the owner
 */
export async function ownerOf(
  dataFolder: string,
  user: UnprivilegedUser | null,
): Promise<UnprivilegedUser | null> {
  const { uid, gid } = await stat(dataFolder)
  if (user === null) {
    if (uid === process.getuid?.()) return null
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} belongs to the user with number ${uid}: ` +
        'start the pooler as that user or as root, or choose another folder with --data',
    )
  }
  if (uid === 0) {
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} belongs to root, who may not run PostgreSQL: ` +
        `run "chown -R ${user.name} ${dataFolder}"`,
    )
  }
  return uid === user.uid ? user : { name: String(uid), uid, gid }
}

const INCOMPLETE = '.incomplete-'

async function removeAbandoned(dataFolder: string): Promise<void> {
  const parent = dirname(dataFolder)
  for (const name of await readdir(parent)) {
    const path = join(parent, name)
    if (!path.startsWith(dataFolder + INCOMPLETE)) continue
    const pid = Number.parseInt(path.slice(dataFolder.length + INCOMPLETE.length), 10)
    if (pid === process.pid || !isAlive(pid)) await rm(path, { recursive: true, force: true })
  }
}

async function majorVersion(binaries: PostgresBinaries): Promise<string> {
  const { output } = await runProgram(binaries.postgres, ['--version'], { user: null })
  return /(\d+)[.\w]*\s*$/.exec(output)?.[1] ?? output
}

function initdbFailed(dataFolder: string, output: string): EmbeddedPostgresError {
  const reason = output.split('\n').filter((line) => /^initdb: error|FATAL|PANIC|^initdb: hint/.test(line))
  const words = (reason.length > 0 ? reason : output.trim().split('\n').slice(-3)).join('; ')
  return new EmbeddedPostgresError(
    `PostgreSQL's initdb could not make the data folder ${dataFolder}: ${words}`,
  )
}
