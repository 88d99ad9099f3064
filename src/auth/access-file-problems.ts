import { PoolerError, SqlState } from '../errors.ts'

/**
 * AccessFileProblems: everything that is wrong with pg_hba.conf or pg_ident.conf and the files that they
 * include, collected by their parsers so that the operator sees all of it at once.
 */

/** Enough for any file that a person wrote; a file of another kind shall not fill the log. */
const MAX_REPORTED = 100

export class AccessFileProblems {
  readonly #lines: string[] = []

  add(path: string, line: number, message: string): void {
    this.#lines.push(`${path}:${line}: ${message}`)
  }

  /** Throws one PoolerError F0000 with a line of text for each problem, if there is one. */
  throwIfAny(): void {
    if (this.#lines.length === 0) return
    const shown = this.#lines.slice(0, MAX_REPORTED)
    if (this.#lines.length > MAX_REPORTED) shown.push(`and ${this.#lines.length - MAX_REPORTED} more`)
    throw new PoolerError(SqlState.ConfigurationError, shown.join('\n'))
  }
}

/** Thrown by the parsers of one line and turned into a problem with file and line number by its reader. */
export class AccessLineError extends Error {
  override readonly name = 'AccessLineError'
}

/** A token for a message: quoted and not longer than a line should be. */
export function shown(text: string): string {
  const printable = text.replace(/\p{Cc}/gu, '?')
  return printable.length > 60 ? `"${printable.slice(0, 60)}..."` : `"${printable}"`
}
