import assert from 'node:assert/strict'
import { PoolerError, SqlState } from '../errors.ts'
import type { AuthType } from './client-exchange.ts'
import type { HbaRules } from './hba.ts'
import type { HbaMethod, HbaOptions } from './hba-method.ts'
import type { IdentMaps } from './ident.ts'

/**
 * LoginPolicy: what a client that has sent its startup message must do to get in. Built at start and on each
 * reload from auth_type, pg_hba.conf and pg_ident.conf; asked by the client login once. Immutable. It knows
 * no passwords: the same is asked of known and unknown users.
 * Source: PgBouncer setting auth_type; PostgreSQL documentation, "Client Authentication".
 */

/** The values of the setting auth_type. */
export type AuthTypeSetting = AuthType | 'any' | 'cert' | 'hba'

export interface LoginAttempt {
  /** The client's IP address; empty for one of a unix socket. */
  readonly address: string
  readonly encrypted: boolean
  /**
   * Common name of the client's certificate, empty where it has none. Undefined without a certificate, and
   * with one that client_tls_ca_file does not vouch for.
   */
  readonly certificateName: string | undefined
  readonly database: string
  readonly user: string
  /** A physical replication connection, which belongs to no database. */
  readonly replication: boolean
}

export type LoginDecision =
  /** A ClientExchange with this type follows. */
  | { readonly kind: 'method'; readonly authType: Exclude<AuthType, 'trust'> }
  /** No exchange. By `trust` the user must still be a known one; by `any` the name counts for nothing. */
  | { readonly kind: 'accepted'; readonly by: 'any' | 'trust' | 'cert' }
  | { readonly kind: 'refused'; readonly error: PoolerError }

export interface LoginPolicyOptions {
  readonly authType: AuthTypeSetting
  /** Asked with auth_type `hba` only, and then given. */
  readonly rules: HbaRules | undefined
  readonly maps: IdentMaps
}

const CERT: HbaOptions = { map: undefined, clientCertificate: 'verify-full' }

export class LoginPolicy {
  readonly #authType: AuthTypeSetting
  readonly #rules: HbaRules | undefined
  readonly #maps: IdentMaps

  constructor({ authType, rules, maps }: LoginPolicyOptions) {
    this.#authType = authType
    this.#rules = rules
    this.#maps = maps
  }

  decide(attempt: LoginAttempt): LoginDecision {
    switch (this.#authType) {
      case 'any':
      case 'trust':
        return { kind: 'accepted', by: this.#authType }
      case 'plain':
      case 'md5':
      case 'scram-sha-256':
        return { kind: 'method', authType: this.#authType }
      case 'cert':
        return this.#withCertificate(attempt, CERT) ?? { kind: 'accepted', by: 'cert' }
      case 'hba':
        return this.#byRules(attempt)
    }
  }

  #byRules(attempt: LoginAttempt): LoginDecision {
    assert(this.#rules !== undefined, 'auth_type hba has rules')
    const decision = this.#rules.match(attempt)
    if (decision.kind === 'refused') return decision
    const { rule } = decision
    return this.#withCertificate(attempt, rule) ?? afterCertificate(rule.method)
  }

  /** The refusal of a certificate that does not do; undefined when it does, or none is asked for. */
  #withCertificate(attempt: LoginAttempt, { clientCertificate, map }: HbaOptions): LoginDecision | undefined {
    if (clientCertificate === 'none') return undefined
    const { certificateName, user } = attempt
    if (certificateName === undefined || !attempt.encrypted) {
      return refused(
        'connection requires a valid client certificate',
        'there is none that the CA vouches for',
      )
    }
    if (clientCertificate === 'verify-ca' || this.#isUser(certificateName, user, map)) return undefined
    const reason =
      map === undefined
        ? `the certificate is for ${JSON.stringify(certificateName)}`
        : `no line of map "${map}" lets ${JSON.stringify(certificateName)} be this user`
    return refused(`certificate authentication failed for user "${user}"`, reason)
  }

  #isUser(certificateName: string, user: string, map: string | undefined): boolean {
    // A zero byte ends a name for whoever reads it as C does: such a certificate may be meant to deceive.
    if (certificateName === '' || certificateName.includes('\0')) return false
    return map === undefined ? certificateName === user : this.#maps.mapUser(map, certificateName, user)
  }
}

function afterCertificate(method: HbaMethod): LoginDecision {
  switch (method) {
    case 'trust':
    case 'cert':
      return { kind: 'accepted', by: method }
    case 'password':
      return { kind: 'method', authType: 'plain' }
    case 'md5':
    case 'scram-sha-256':
      return { kind: 'method', authType: method }
    case 'reject':
      return assert.fail('HbaRules turns reject into a refusal')
  }
}

function refused(message: string, reason: string): LoginDecision {
  const cause = new Error(reason)
  return { kind: 'refused', error: new PoolerError(SqlState.InvalidAuthorization, message, { cause }) }
}
