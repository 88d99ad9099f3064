import { chmod, cp, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from './child-process.ts'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'
import { binariesIn, type PostgresBinaries } from './postgres-binaries.ts'
import type { UnprivilegedUser } from './unprivileged-user.ts'

/**
 * Makes sure that the account which runs PostgreSQL can execute the binaries. A project often lies in a folder
 * that only root may enter (/root, mktemp -d); the binaries are then copied once into a cache that root owns.
 */

const CACHE_FOLDER = '/var/cache/pooler'
const WRITABLE_BY_OTHERS = 0o022

/** Binaries that `user` can execute: `found` itself, or root's copy of it below `cacheFolder`. */
export async function reachableBinaries(
  found: PostgresBinaries,
  user: UnprivilegedUser | null,
  cacheFolder = CACHE_FOLDER,
): Promise<PostgresBinaries> {
  if (await canExecute(found, user)) return found
  if (user === null) {
    throw new EmbeddedPostgresError(`${found.postgres} cannot be executed: make it readable and executable`)
  }
  const folder = join(cacheFolder, `postgres-${found.label}`)
  const copy = binariesIn(folder, found.label)
  await mkdir(cacheFolder, { recursive: true, mode: 0o755 }).catch((error: unknown) =>
    noCopy(found, folder, error),
  )
  await refuseForeignFolder(cacheFolder)
  if ((await lstat(folder).catch(() => null)) === null) {
    await copyBinaries(found, folder).catch((error: unknown) => noCopy(found, folder, error))
  }
  await refuseForeignFolder(folder)
  if (await canExecute(copy, user)) return copy
  throw new EmbeddedPostgresError(
    `user "${user.name}" can execute PostgreSQL neither in ${found.folder} nor in ${folder}: ` +
      'let that user enter one of these folders',
  )
}

/**
 * True where `user` can run them, false where permissions forbid it.
 * @throws EmbeddedPostgresError where the system itself cannot run them
 */
async function canExecute({ postgres }: PostgresBinaries, user: UnprivilegedUser | null): Promise<boolean> {
  let problem: string
  try {
    const { exitCode, output } = await runProgram(postgres, ['--version'], { user })
    if (exitCode === 0) return true
    // The dynamic loader reports a library that it may not read like one that is missing.
    if (/permission denied/i.test(output)) return false
    problem = output.trim().replaceAll('\n', '; ')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES') return false
    problem = code === 'ENOENT' ? 'its program loader is missing, as on systems without glibc' : String(code)
  }
  throw new EmbeddedPostgresError(
    `PostgreSQL's binary ${postgres} does not run on this system (${problem}): ` +
      'give the pooler a configuration file that names a PostgreSQL of your own',
  )
}

async function copyBinaries(found: PostgresBinaries, folder: string): Promise<void> {
  const incomplete = `${folder}.incomplete-${process.pid}`
  try {
    await cp(found.folder, incomplete, { recursive: true, verbatimSymlinks: true })
    await makeReadable(incomplete)
    // Whoever comes second finds a complete copy and throws its own away.
    await rename(incomplete, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(incomplete, { recursive: true, force: true })
  }
}

async function makeReadable(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await makeReadable(path)
    else if (entry.isFile()) await chmod(path, folder.endsWith('/bin') ? 0o755 : 0o644)
  }
}

/** Root's children must not run a program that somebody else could have put there. */
async function refuseForeignFolder(folder: string): Promise<void> {
  const { uid, mode } = await lstat(folder)
  if (uid === process.getuid?.() && (mode & WRITABLE_BY_OTHERS) === 0) return
  throw new EmbeddedPostgresError(
    `${folder} must belong to root and be writable by root alone: remove it, the pooler makes it again`,
  )
}

function noCopy(found: PostgresBinaries, folder: string, error: unknown): never {
  if (error instanceof EmbeddedPostgresError) throw error
  throw new EmbeddedPostgresError(
    `the PostgreSQL binaries in ${found.folder} are in a folder that only root can enter, and copying them to ` +
      `${folder} failed (${(error as Error).message}): move the project, or make that folder writable`,
    error,
  )
}
