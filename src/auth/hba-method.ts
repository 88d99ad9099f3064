import { AccessLineError, shown } from './access-file-problems.ts'
import type { Field, Token } from './access-tokens.ts'

/**
 * The last fields of a line of pg_hba.conf: the authentication method and its options. Used by parseHbaRule.
 * What the pooler cannot do is refused with a reason. Stateless.
 * Source: PostgreSQL documentation, "The pg_hba.conf File", auth-method and auth-options.
 */

/** The first field of a line: which connections it is about. */
export const HBA_CONNECTIONS = [
  'local',
  'host',
  'hostssl',
  'hostnossl',
  'hostgssenc',
  'hostnogssenc',
] as const
export type HbaConnection = (typeof HBA_CONNECTIONS)[number]

const METHODS = ['trust', 'reject', 'md5', 'password', 'scram-sha-256', 'cert'] as const
export type HbaMethod = (typeof METHODS)[number]

/** PostgreSQL's other methods: why not, and what instead. */
const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['peer', 'Node.js cannot ask a unix socket who is at its other end; use scram-sha-256'],
  ['ident', "it believes whatever the client's machine says of its users; use scram-sha-256 or cert"],
  ['gss', 'there is no Kerberos library in the pooler; use cert or scram-sha-256'],
  ['sspi', 'there is no Windows authentication in the pooler; use cert or scram-sha-256'],
  ['pam', 'Node.js cannot call PAM; use scram-sha-256 with auth_file'],
  ['ldap', 'there is no LDAP client in the pooler; use scram-sha-256 with auth_file'],
  ['radius', 'there is no RADIUS client in the pooler; use scram-sha-256 with auth_file'],
  ['bsd', 'Node.js cannot call BSD authentication; use scram-sha-256 with auth_file'],
  ['oauth', 'the pooler has no validator for bearer tokens; use cert or scram-sha-256'],
])

export interface HbaOptions {
  /** The map of pg_ident.conf from common names to users, for `cert`. */
  readonly map: string | undefined
  /** What is asked of a client's certificate beside the method; `cert` itself means verify-full. */
  readonly clientCertificate: 'none' | 'verify-ca' | 'verify-full'
}

/** Throws AccessLineError. */
export function readHbaMethod({ text }: Token, connection: HbaConnection): HbaMethod {
  const reason = UNSUPPORTED.get(text)
  if (reason !== undefined) throw new AccessLineError(`method "${text}" is not supported: ${reason}`)
  const method = METHODS.find((known) => known === text)
  if (method === undefined) {
    const known = METHODS.join(', ')
    throw new AccessLineError(`invalid authentication method ${shown(text)}: expected one of ${known}`)
  }
  if (method === 'cert' && connection !== 'hostssl') {
    throw new AccessLineError('cert authentication is only supported on hostssl connections')
  }
  return method
}

/** Throws AccessLineError; never with an option's value unless the option is known to be none of a secret. */
export function readHbaOptions(
  fields: readonly Field[],
  method: HbaMethod,
  connection: HbaConnection,
): HbaOptions {
  let map: string | undefined
  let clientCertificate: HbaOptions['clientCertificate'] = method === 'cert' ? 'verify-full' : 'none'
  for (const { text } of fields.flat()) {
    const equals = text.indexOf('=')
    if (equals < 0) throw new AccessLineError('an authentication option is not in the form name=value')
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)]
    switch (name) {
      case 'map':
        if (method !== 'cert') {
          throw new AccessLineError(
            'authentication option "map" is only valid for authentication method cert',
          )
        }
        if (value === '') throw new AccessLineError('map= needs the name of a map')
        map = value
        break
      case 'clientcert':
        if (connection !== 'hostssl') {
          throw new AccessLineError('clientcert can only be configured for "hostssl" rows')
        }
        clientCertificate = readClientCertificate(value, method)
        break
      case 'clientname':
        if (connection !== 'hostssl') {
          throw new AccessLineError('clientname can only be configured for "hostssl" rows')
        }
        if (value !== 'CN') throw new AccessLineError('clientname can only be CN: leave the option away')
        break
      default:
        throw new AccessLineError(
          `authentication option ${shown(name)} is not supported: the options are map, clientcert and clientname`,
        )
    }
  }
  return { map, clientCertificate }
}

function readClientCertificate(value: string, method: HbaMethod): 'verify-ca' | 'verify-full' {
  if (method === 'cert' && value === 'verify-ca') {
    throw new AccessLineError('clientcert only accepts "verify-full" when using "cert" authentication')
  }
  if (value === 'verify-ca' || value === 'verify-full') return value
  throw new AccessLineError(
    `invalid value for clientcert: ${shown(value)}; expected verify-ca or verify-full`,
  )
}
