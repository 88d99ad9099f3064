import { readFileSync, rmSync } from 'node:fs'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { PoolerError, SqlState } from '../errors.ts'

/**
 * Pidfile: the file that holds this process's number while it runs, so that service managers find it and that
 * a second pooler with the same file does not start. It comes into being whole, as a link to a finished file: a
 * reader never sees half a number, and of two poolers that start at the same time one fails. Made by cli.ts.
 */
export class Pidfile {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * Writes the file, over one whose process is gone. Rejects with PoolerError F0000 where the process that
   * it names lives, where it is no pidfile, and where it cannot be written.
   */
  static async claim(path: string): Promise<Pidfile> {
    const finished = `${path}.${process.pid}`
    try {
      await writeFile(finished, `${process.pid}\n`, { mode: 0o644 })
      try {
        await link(finished, path)
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
        await refuseLivingOwner(path)
        await rename(finished, path)
      }
    } catch (error) {
      throw error instanceof PoolerError ? error : unwritable(path, error)
    } finally {
      await rm(finished, { force: true }).catch(() => {})
    }
    return new Pidfile(path)
  }

  /** Removes the file if it is still this process's. Not asynchronous, so that it can be the last act of all. */
  remove(): void {
    try {
      if (readFileSync(this.#path, 'utf8') === `${process.pid}\n`) rmSync(this.#path)
    } catch {
      // It is gone already, or its folder is closed: the next start takes it for what it is, a stale one.
    }
  }
}

async function refuseLivingOwner(path: string): Promise<void> {
  const text = (await readFile(path, 'utf8')).trim()
  // What was created empty, or cut off by a full disk, names nobody.
  if (text === '') return
  const pid = /^\d{1,10}$/.test(text) ? Number(text) : 0
  if (pid === 0) {
    throw misconfigured(
      `${path} holds no process number: choose another file, or remove it if it is not needed`,
    )
  }
  // After a restart of the machine or the container this process, or the shell that started it, may have the
  // very number of the pooler before; PostgreSQL leaves the same two out.
  if (pid === process.pid || pid === process.ppid || !isAlive(pid)) return
  throw misconfigured(
    `another pooler runs with this file (${path}), as process ${pid}: stop it, or remove the file if that process ` +
      'is something else',
  )
}

/** True if there is a process with this number, ours or somebody else's. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function unwritable(path: string, error: unknown): PoolerError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'its folder does not exist; create it, or choose another file',
    ENOTDIR: 'its folder is no folder; choose another file',
    EACCES: 'this user may not write to its folder',
    EISDIR: 'it is a folder; name a file',
  }
  const reason = reasons[codeOf(error) ?? ''] ?? (error instanceof Error ? error.message : String(error))
  return misconfigured(`${path} cannot be written: ${reason}`, error)
}

function misconfigured(message: string, cause?: unknown): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, `pidfile: ${message}`, { cause })
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
