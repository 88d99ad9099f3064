import { systemFiles } from '../auth/access-files.ts'
import { loadLoginPolicy } from '../auth/load-login-policy.ts'
import type { LoginPolicy } from '../auth/login-policy.ts'
import { ownNetworks } from '../auth/own-networks.ts'
import { parseSecret, type UserSecret } from '../auth/user-secret.ts'
import { loadUserlist } from '../auth/userlist.ts'
import { authQueryProblems } from '../config/auth-query-source.ts'
import type { Config } from '../config/config.ts'
import { resolveSecrets } from '../config/secret-source.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { TlsDirectory } from '../net/tls-directory.ts'

/**
 * StartupFiles: everything beside pooler.toml that a start reads and may stumble over: files of passwords, users,
 * rules, certificates and keys. `pooler --check` reads them too, so that what it calls valid starts, unless the port
 * is taken. Owns nothing.
 */
export interface StartupFiles {
  /** With the passwords of files and environment variables in it. */
  readonly config: Config
  readonly policy: LoginPolicy
  readonly userlist: ReadonlyMap<string, UserSecret>
  readonly tls: TlsDirectory
}

/** Rejects with one PoolerError F0000 that has a line for every problem in any of them. */
export async function readStartupFiles(written: Config): Promise<StartupFiles> {
  const problems: string[] = []
  const noting = async <T>(read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      problems.push(error.message)
      return undefined
    }
  }
  const config = await noting(() => resolveSecrets(written))
  problems.push(...authQueryProblems(written))
  const policy = await noting(() => loginPolicyOf(written))
  const { auth_file: authFile } = written.pooler
  const userlist = await noting(() => (authFile === undefined ? new Map() : loadUserlist(authFile)))
  for (const [key, password] of passwordsOf(config ?? written)) await noting(() => checkSecret(key, password))
  const tls = await noting(() => TlsDirectory.load(written))
  if (problems.length > 0) throw new PoolerError(SqlState.ConfigurationError, problems.join('\n'))
  return { config, policy, userlist, tls } as StartupFiles
}

function* passwordsOf({
  databases,
  fallbackDatabase,
  users,
}: Config): Generator<[key: string, text: string]> {
  for (const { name, password } of databases.values()) {
    if (password !== undefined) yield [`databases.${name}.password`, password]
  }
  if (fallbackDatabase?.password !== undefined) yield ['databases."*".password', fallbackDatabase.password]
  for (const { name, password } of users.values()) {
    if (password !== undefined) yield [`users.${name}.password`, password]
  }
}

function checkSecret(key: string, password: string): void {
  try {
    parseSecret(password)
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    throw new PoolerError(SqlState.ConfigurationError, `${key}: ${error.message}`)
  }
}

/** Throws PoolerError F0000: every bad line of the access files, settings that contradict each other. */
function loginPolicyOf({ pooler, databases, fallbackDatabase }: Config): LoginPolicy {
  const { auth_type, auth_hba_file, auth_ident_file } = pooler
  const all = [
    ...databases.values(),
    ...(fallbackDatabase === undefined ? [] : [{ ...fallbackDatabase, name: '"*"' }]),
  ]
  const settings = {
    auth_type,
    auth_hba_file,
    auth_ident_file,
    certificatesAsked: pooler.client_tls_ca_file !== undefined && pooler.client_tls_sslmode !== 'disable',
    databaseWithoutUser: all.find(({ user }) => user === undefined)?.name,
  }
  return loadLoginPolicy(settings, systemFiles, ownNetworks)
}
