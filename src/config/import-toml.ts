/**
 * importToml: a pgbouncer.ini -> the text of a pooler.toml that means the same, with comments on what differs. Called
 * by the command line ("pooler import"). A test holds both against each other.
 */
import { resolve } from 'node:path'
import { keyPath } from './config.ts'
import { readIniInput } from './ini-input.ts'
import type { IniSection } from './ini-section.ts'
import { iniConfig } from './load-ini.ts'
import { pgbouncerDefaults } from './pgbouncer-defaults.ts'
import { settingIn } from './read-section.ts'
import type { Scope } from './setting.ts'

/** Throws a ConfigError with every problem there is: what cannot be started cannot be imported. */
export async function importToml(path: string): Promise<string> {
  const input = await readIniInput(path)
  iniConfig(path, input)
  const { pooler, databases, users, notices } = input
  const sections = [pooler, ...databases.values(), ...users.values()]
  const secret = sections.some((section) => section.get('password') !== undefined)
  const lines = [
    comment(`Made by "pooler import ${path}". Relative paths of that file began at ${process.cwd()}.`),
    ...(secret
      ? [
          comment('Passwords are here as they were there: chmod 0600 this file, or move them elsewhere with'),
          comment('password_file or password_env.'),
        ]
      : []),
    ...(notices.length > 0 ? ['#', comment('Left out:')] : []),
    ...notices.map(({ place, text }) => comment(`${place}: ${text}`)),
    '',
    ...section('pooler', ['pooler'], pooler),
  ]
  for (const [name, database] of databases) lines.push(...section('database', ['databases', name], database))
  for (const [name, user] of users) lines.push(...section('user', ['users', name], user))
  return lines.join('\n')
}

function section(scope: Scope, path: readonly string[], { entries }: IniSection): string[] {
  const lines = entries.map(([name, { value, written }]) => {
    const line = `${name} = ${toml(scope, name, value)}`
    return written ? line : `${line}${reason(scope, name)}`
  })
  return [`[${keyPath(path)}]`.replaceAll('\x7f', '\\u007f'), ...lines, '']
}

/** Behind a default of PgBouncer's. */
function reason(scope: Scope, name: string): string {
  if (scope !== 'pooler') return '   # unix_socket_dir, as nothing is written'
  const own = settingIn('pooler', name)?.in.pooler
  const usual = own?.default === undefined ? own?.otherwise : JSON.stringify(own.default)
  return pgbouncerDefaults[name] === undefined ? '' : `   # PgBouncer's default; here it would be ${usual}`
}

function toml(scope: Scope, name: string, value: string | number | boolean): string {
  const type = settingIn(scope, name)?.type
  if (type === 'mode' && typeof value === 'number') return `0o${value.toString(8)}`
  const written = type === 'path' && typeof value === 'string' ? resolve(value) : value
  // JSON's strings, numbers and booleans are TOML's as well, but for one character.
  return JSON.stringify(written).replaceAll('\x7f', '\\u007f')
}

/** Control characters are not allowed in a comment. */
function comment(text: string): string {
  return `# ${text.replaceAll(/\p{Cc}/gu, '?')}`
}
