import { stat } from 'node:fs/promises'
import type { Config } from './config.ts'

/**
 * Which files with secrets may every user of the machine read? The composition root asks at start and on reload
 * and logs one warning for each. Being readable for a group is a way to share a file on purpose, as PostgreSQL
 * allows for keys; being readable for all never is. Owns no state.
 */

const READABLE_BY_OTHERS = 0o004
const PERMISSION_BITS = 0o777

/**
 * One line of text for each such file: those of `configFiles`, which have the passwords that are written in the
 * configuration, auth_file, and the files of password_file, private keys. Never rejects: what cannot be examined has failed elsewhere, or will.
 */
export async function secretFileWarnings(
  config: Config,
  configFiles: readonly string[] = [],
): Promise<string[]> {
  const files = new Map<string, string>()
  const sections = [
    ...config.databases.values(),
    ...(config.fallbackDatabase === undefined ? [] : [config.fallbackDatabase]),
    ...config.users.values(),
  ]
  for (const { password, password_file: file, password_env: variable } of sections) {
    if (file !== undefined) files.set(file, 'password_file')
    // After resolveSecrets `password` is filled in from elsewhere, too.
    else if (password !== undefined && variable === undefined) {
      for (const path of configFiles) files.set(path, 'the configuration file')
    }
  }
  const databases = [...config.databases.values(), config.fallbackDatabase]
  for (const section of [config.pooler, ...databases]) {
    const key = section?.server_tls_key_file
    if (key !== undefined) files.set(key, 'server_tls_key_file')
  }
  const { auth_file: authFile, client_tls_key_file: clientKey } = config.pooler
  if (clientKey !== undefined) files.set(clientKey, 'client_tls_key_file')
  if (authFile !== undefined) files.set(authFile, 'auth_file')
  const warnings = await Promise.all([...files].map(([path, what]) => warning(path, what)))
  return warnings.filter((line) => line !== undefined)
}

async function warning(path: string, what: string): Promise<string | undefined> {
  // Windows has no such bits; Node makes them up.
  if (process.platform === 'win32') return undefined
  const status = await stat(path).catch(() => undefined)
  if (status === undefined || (status.mode & READABLE_BY_OTHERS) === 0) return undefined
  const mode = (status.mode & PERMISSION_BITS).toString(8).padStart(4, '0')
  return `${what} ${path} holds secrets and can be read by every user of this machine (mode ${mode}); chmod 0600 it`
}
