import { isUtf8 } from 'node:buffer'
import { readdirSync, readFileSync } from 'node:fs'
import { PoolerError, SqlState } from '../errors.ts'

/**
 * AccessFiles: how the parsers of pg_hba.conf and pg_ident.conf get at files, those that a file includes as
 * well. Injected, so that the parsers are pure. The files are read at start and on reload only, and at once:
 * they are small and local.
 */
export interface AccessFiles {
  /** The text; undefined when there is no such file. Throws when it cannot be read. */
  read(path: string): string | undefined
  /** The names in a folder; undefined when there is no such folder. Throws when it cannot be read. */
  list(folder: string): readonly string[] | undefined
}

/** The files of this machine. */
export const systemFiles: AccessFiles = {
  read: (path) => ifItExists(() => utf8(readFileSync(path))),
  list: (folder) => ifItExists(() => readdirSync(folder)),
}

/**
 * The text of the file that a setting names; throws PoolerError F0000 naming both when it cannot be read.
 */
export function readSettingFile(setting: string, path: string, files: AccessFiles): string {
  let reason = 'there is no such file'
  try {
    const text = files.read(path)
    if (text !== undefined) return text
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error)
  }
  throw new PoolerError(
    SqlState.ConfigurationError,
    `cannot read ${setting} ${path}: ${reason}; create it or make it readable`,
  )
}

function ifItExists<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function utf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Error('it is not UTF-8 text')
  return bytes.toString()
}
