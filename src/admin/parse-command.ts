import { PoolerError, SqlState } from '../errors.ts'

/** What was typed: a word, its argument, and for SET a value. Words are upper case. */
export interface ParsedCommand {
  readonly verb: string
  readonly argument: string | undefined
  /** SET key = value. */
  readonly value: string | undefined
}

/** PgBouncer's longest word, argument and value, in characters. */
const MAX_VERB = 15
const MAX_ARGUMENT = 63
const MAX_VALUE = 255

const COMMAND = /^\s*([a-z_]+)(?:\s+(?:"([^"]*)"|([^\s";=']+)))?\s*$/i
const SET = /^\s*set\s+([a-z0-9_]+)\s*(?:=|\sto\s)\s*(?:'((?:[^']|'')*)'|([^\s';]+))\s*$/i

/**
 * Reads one command of the admin console: `CMD [arg]`, the argument bare or in double quotes, or
 * `SET key = value`; `SELECT x` means `SHOW x`. Undefined for a text without any command. Throws PoolerError with
 * PgBouncer's words where it is none.
 * Source: PgBouncer's documentation, "Admin console".
 */
export function parseCommand(sql: string): ParsedCommand | undefined {
  const text = sql.trim().replace(/;\s*$/, '')
  if (text.trim() === '') return undefined
  const set = SET.exec(text)
  if (set !== null) {
    const value = set[2]?.replaceAll("''", "'") ?? set[3] ?? ''
    return limited({ verb: 'SET', argument: (set[1] ?? '').toLowerCase(), value })
  }
  const command = COMMAND.exec(text)
  if (command === null) {
    const shown = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}...` : text
    throw consoleError(`invalid command '${shown}', use SHOW HELP;`)
  }
  const verb = (command[1] ?? '').toUpperCase()
  return limited({
    verb: verb === 'SELECT' ? 'SHOW' : verb,
    argument: command[2] ?? command[3],
    value: undefined,
  })
}

function limited(command: ParsedCommand): ParsedCommand {
  const { verb, argument = '', value = '' } = command
  if (verb.length > MAX_VERB || argument.length > MAX_ARGUMENT || value.length > MAX_VALUE)
    throw consoleError('bad arguments')
  return command
}

/** An error that leaves the console open. */
export function consoleError(message: string, sqlState: SqlState = SqlState.SyntaxError): PoolerError {
  return new PoolerError(sqlState, message, { severity: 'ERROR' })
}
