import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'

/**
 * ServerLog: the file that the embedded PostgreSQL writes its log to, and what it said since it was last
 * opened. embedded-postgres.ts opens it for each start and quotes it when the start fails.
 */
export class ServerLog {
  readonly path: string
  /** Why the program could not even be executed, if so. */
  launchError: Error | null = null
  #startOffset = 0

  constructor(path: string) {
    this.path = path
  }

  /** Opens it for the next server, which appends. The caller closes the handle. */
  async open(): Promise<FileHandle> {
    this.launchError = null
    try {
      const handle = await open(this.path, 'a', 0o600)
      this.#startOffset = (await handle.stat()).size
      return handle
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new EmbeddedPostgresError(
        `the log ${basename(this.path)} at ${this.path} cannot be written (${code})`,
        error,
      )
    }
  }

  /** Why the last start failed, in PostgreSQL's words on one line; `dataFolder` replaces a descriptor's name. */
  async failure(dataFolder: string): Promise<string> {
    if (this.launchError !== null) return this.launchError.message
    const lines = (await this.#sinceOpen()).split('\n').filter((line) => line !== '')
    const telling = lines.filter((line) =>
      /(FATAL|PANIC|HINT|LOG):.*(\bnot\b|invalid|in use|exist)|FATAL|PANIC/.test(line),
    )
    return (telling.length > 0 ? telling : lines)
      .slice(-3)
      .map((line) =>
        line.replace(/^[\d-]+ [\d:.]+ \S+ \[\d+\] /, '').replaceAll('/proc/self/fd/3', dataFolder),
      )
      .join('; ')
  }

  async #sinceOpen(): Promise<string> {
    const handle = await open(this.path, 'r')
    try {
      const { size } = await handle.stat()
      const bytes = Buffer.alloc(Math.min(size - this.#startOffset, 64 * 1024))
      await handle.read(bytes, 0, bytes.length, size - bytes.length)
      return bytes.toString('utf8')
    } finally {
      await handle.close()
    }
  }
}
