import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { PoolerError, SqlState } from '../errors.ts'
import type { Config } from './config.ts'

/**
 * Where passwords come from: written in the configuration, or in a file or an environment variable that it
 * names. The composition root calls resolveSecrets at start and on reload. Owns no state; no message carries a
 * secret.
 */

/** The settings of one section about its password; at most one of them may be given. */
interface SecretSettings {
  readonly password: string | undefined
  readonly password_file: string | undefined
  readonly password_env: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>
type Report = (key: string, message: string) => void

const MAX_SECRET_BYTES = 64 * 1024

/**
 * The same Config with the passwords of files and environment variables in its `password` settings.
 * Throws one PoolerError F0000 with a line for every secret that cannot be had, is given twice or is of no use.
 */
export async function resolveSecrets(
  config: Config,
  environment: Environment = process.env,
): Promise<Config> {
  const problems: string[] = []
  const report: Report = (key, message) => problems.push(`${key}: ${message}`)
  const resolve = async <S extends SecretSettings>(section: string, settings: S): Promise<S> => {
    const password = await resolveSecret(section, settings, environment, report)
    return password === settings.password ? settings : Object.freeze({ ...settings, password })
  }
  const databases = new Map(config.databases)
  for (const [name, database] of databases) {
    databases.set(name, await resolve(sectionKey('databases', name), database))
    reportUselessSecret(sectionKey('databases', name), database, report)
  }
  const users = new Map(config.users)
  for (const [name, user] of users) users.set(name, await resolve(sectionKey('users', name), user))
  let { fallbackDatabase } = config
  if (fallbackDatabase !== undefined) {
    reportUselessSecret(sectionKey('databases', '*'), fallbackDatabase, report)
    fallbackDatabase = await resolve(sectionKey('databases', '*'), fallbackDatabase)
  }
  if (problems.length > 0) throw new PoolerError(SqlState.ConfigurationError, problems.join('\n'))
  return Object.freeze({ ...config, databases, fallbackDatabase, users })
}

/** The password itself, undefined where the section has none; problems are reported. */
async function resolveSecret(
  section: string,
  { password, password_file: file, password_env: variable }: SecretSettings,
  environment: Environment,
  report: Report,
): Promise<string | undefined> {
  const given = [password, file, variable].filter((value) => value !== undefined)
  if (given.length > 1) {
    report(section, 'expected only one of password, password_file and password_env')
    return undefined
  }
  if (file !== undefined) return readSecretFile(file, `${section}.password_file`, report)
  if (variable === undefined) return password
  const value = environment[variable]
  if (value !== undefined && value !== '') return value
  const trouble = value === undefined ? 'not set' : 'empty'
  report(
    `${section}.password_env`,
    `the environment variable ${variable} is ${trouble}; set it before the start`,
  )
  return undefined
}

/** As for `password`: without a forced user nothing would ever use it. */
function reportUselessSecret(
  section: string,
  settings: SecretSettings & { user?: string | undefined },
  report: Report,
) {
  if (settings.user !== undefined) return
  for (const key of ['password_file', 'password_env'] as const) {
    if (settings[key] === undefined) continue
    report(`${section}.${key}`, 'expected a user beside it: without a forced user it would never be used')
  }
}

async function readSecretFile(path: string, key: string, report: Report): Promise<string | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    const code = error.code ?? error.message
    report(key, `cannot read ${path}: ${code}; create the file or make it readable for this user`)
    return undefined
  })
  if (bytes === undefined) return undefined
  // Editors and echo end a file with a newline; no password that anybody types does.
  const text = bytes.toString().replace(/\r?\n$/, '')
  if (bytes.length > MAX_SECRET_BYTES)
    report(key, `${path} is longer than ${MAX_SECRET_BYTES} bytes; is it the right file?`)
  else if (!isUtf8(bytes) || text.includes('\0'))
    report(key, `${path} is not UTF-8 text; save the password as UTF-8`)
  else if (text === '') report(key, `${path} is empty; write the password into it`)
  else if (text.includes('\n')) report(key, `${path} has more than one line; leave only the password in it`)
  else return text
  return undefined
}

function sectionKey(section: string, name: string): string {
  return `${section}.${/^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name)}`
}
