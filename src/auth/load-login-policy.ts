import { PoolerError, SqlState } from '../errors.ts'
import { type AccessFiles, readSettingFile } from './access-files.ts'
import { type HbaRules, parseHba } from './hba.ts'
import type { OwnNetworks } from './hba-address.ts'
import { IdentMaps, parseIdent } from './ident.ts'
import { type AuthTypeSetting, LoginPolicy } from './login-policy.ts'

/** The settings that a LoginPolicy is made of, by their own names, and what they must agree with. */
export interface LoginPolicySettings {
  readonly auth_type: AuthTypeSetting
  readonly auth_hba_file: string | undefined
  readonly auth_ident_file: string | undefined
  /** True where clients can be asked for a certificate: client_tls_ca_file, and client_tls_sslmode not disable. */
  readonly certificatesAsked: boolean
  /** A database that logs in to PostgreSQL as whoever the client says it is; undefined if there is none. */
  readonly databaseWithoutUser: string | undefined
}

/**
 * loadLoginPolicy: the LoginPolicy of a configuration. Called at start and on reload. Throws PoolerError
 * F0000: a file that cannot be read, every bad line of one, settings that contradict each other or have no
 * effect.
 */
export function loadLoginPolicy(
  settings: LoginPolicySettings,
  files: AccessFiles,
  ownNetworks: OwnNetworks,
): LoginPolicy {
  const { auth_type: authType, auth_hba_file: hbaFile, auth_ident_file: identFile } = settings
  if (authType === 'cert' && !settings.certificatesAsked)
    throw misconfigured(`auth_type cert needs ${CERTIFICATES}`)
  if (authType === 'any' && settings.databaseWithoutUser !== undefined) {
    throw misconfigured(
      `auth_type any ignores the user names of clients, but databases.${settings.databaseWithoutUser} has no ` +
        'user to log in to PostgreSQL with: set its user',
    )
  }
  if (authType !== 'hba') {
    for (const [name, path] of Object.entries({ auth_hba_file: hbaFile, auth_ident_file: identFile })) {
      if (path !== undefined) {
        throw misconfigured(
          `${name} has no effect with auth_type ${authType}: set auth_type to hba, or remove it`,
        )
      }
    }
    return new LoginPolicy({ authType, rules: undefined, maps: new IdentMaps() })
  }
  if (hbaFile === undefined) throw misconfigured('auth_type hba needs auth_hba_file: set it')
  const problems: string[] = []
  const rules = noting(problems, () =>
    parseHba(readSettingFile('auth_hba_file', hbaFile, files), hbaFile, files, ownNetworks),
  )
  const maps = noting(problems, () =>
    identFile === undefined
      ? new IdentMaps()
      : parseIdent(readSettingFile('auth_ident_file', identFile, files), identFile, files),
  )
  if (rules === undefined || maps === undefined) throw misconfigured(problems.join('\n'))
  checkRules(rules, maps, settings)
  return new LoginPolicy({ authType, rules, maps })
}

/** Both files are read before either is complained about. */
function noting<T>(problems: string[], read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    problems.push(error.message)
    return undefined
  }
}

const CERTIFICATES =
  'client_tls_ca_file and a client_tls_sslmode other than disable, so that clients are asked for certificates'

/** What a rule needs from elsewhere; all problems at once. */
function checkRules({ rules }: HbaRules, maps: IdentMaps, settings: LoginPolicySettings): void {
  const problems = rules.flatMap(({ source, map, clientCertificate }) => {
    if (clientCertificate !== 'none' && !settings.certificatesAsked) {
      return [`${source}: the rule asks for a certificate: it needs ${CERTIFICATES}`]
    }
    if (map === undefined || maps.has(map)) return []
    const where =
      settings.auth_ident_file === undefined ? 'auth_ident_file is not set' : settings.auth_ident_file
    return [`${source}: there is no map "${map}": ${where}`]
  })
  if (problems.length > 0) throw misconfigured(problems.join('\n'))
}

function misconfigured(message: string): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, message)
}
