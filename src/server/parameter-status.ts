import { BodyWriter } from '../protocol/body-writer.ts'
import { BackendType } from '../protocol/message-type.ts'
import type { ParameterSet } from './parameter-set.ts'

/**
 * Session parameters between clients and servers: what must be SET when a client gets a server, and what
 * the client must be told. Source: PostgreSQL documentation, "Asynchronous Operations" (ParameterStatus),
 * "SET", and `set_config` in "System Administration Functions".
 */

/** Reported parameters that no SET can change; a client is told when its server's value is another. */
export const READ_ONLY_PARAMETERS: ReadonlySet<string> = new Set([
  'in_hot_standby',
  'integer_datetimes',
  'is_superuser',
  'server_encoding',
  'server_version',
  'session_authorization',
])

export interface ParameterChange {
  /** SQL that gives the server the client's values; empty when only the client has to be told. */
  readonly sql: string
  /** ParameterStatus messages for the client, whose set becomes `client`. */
  readonly notices: Buffer
  readonly client: ParameterSet
  /** Unreported parameters are as they will be; reported ones change when the server says so. */
  readonly server: ParameterSet
}

/**
 * What has to happen so that a server with `server` serves a client with `client`. `reported` has the
 * parameters that the server reports, lower-case name to the spelling in ParameterStatus.
 */
export function parameterChange(
  client: ParameterSet,
  server: ParameterSet,
  reported: ReadonlyMap<string, string>,
): ParameterChange {
  const statements: string[] = []
  const settings: string[] = []
  const notices = new BodyWriter()
  let told = client
  let applied = server
  for (const [name, value] of server.values) {
    const wanted = client.get(name)
    const spelling = reported.get(name)
    if (wanted === value) continue
    if (spelling === undefined) {
      if (wanted !== undefined) continue
      statements.push(`RESET ${quoteIdentifier(name)}`)
      applied = applied.without(name)
    } else if (wanted === undefined || READ_ONLY_PARAMETERS.has(name)) {
      notices.begin(BackendType.ParameterStatus).cstring(spelling).cstring(value).end()
      told = told.with(name, value)
    }
  }
  for (const [name, value] of client.values) {
    if (server.get(name) === value || READ_ONLY_PARAMETERS.has(name)) continue
    // "ISO" or "DMY" alone leaves the other half as the client before had it.
    if (name === 'datestyle' && !value.includes(',')) statements.push('RESET DateStyle')
    settings.push(`pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`)
    if (!reported.has(name)) applied = applied.with(name, value)
  }
  if (settings.length > 0) statements.push(`SELECT ${settings.join(', ')}`)
  return { sql: statements.join(';'), notices: notices.take(), client: told, server: applied }
}

/**
 * A literal for any text. `set_config` with an escape string takes every value as a configuration file
 * would, lists and the empty string included, whatever standard_conforming_strings says. Characters outside
 * ASCII go as \u escapes: their bytes would mean something else under another client_encoding.
 */
export function quoteLiteral(text: string): string {
  let quoted = "E'"
  for (const character of text) {
    const code = character.codePointAt(0) as number
    if (character === "'" || character === '\\') quoted += `\\${character}`
    else if (code < 0x80) quoted += character
    else if (code < 0x10000) quoted += `\\u${code.toString(16).padStart(4, '0')}`
    else quoted += `\\U${code.toString(16).padStart(8, '0')}`
  }
  return `${quoted}'`
}

/** A parameter's name in RESET; names of extensions have a dot between two identifiers. */
function quoteIdentifier(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}
