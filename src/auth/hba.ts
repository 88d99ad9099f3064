import { PoolerError, SqlState } from '../errors.ts'
import { AccessFileProblems } from './access-file-problems.ts'
import { AccessFileReader } from './access-file-reader.ts'
import type { AccessFiles } from './access-files.ts'
import { coversDatabase, coversReplication, coversUser, cutName } from './access-name.ts'
import { coversAddress, type OwnNetworks } from './hba-address.ts'
import { type HbaRule, parseHbaRule } from './hba-rule.ts'
import { parseClientIp } from './ip-network.ts'

/**
 * HbaRules: who may connect from where, with which method: the rules of pg_hba.conf in their order. Read at
 * start and on reload, asked by LoginPolicy once per login. Immutable.
 * Source: PostgreSQL documentation, "The pg_hba.conf File"; PgBouncer setting auth_hba_file.
 */

export interface HbaConnectionAttempt {
  readonly database: string
  readonly user: string
  /** The client's IP address; empty for one of a unix socket. */
  readonly address: string
  /** By TLS. */
  readonly encrypted: boolean
  /** A physical replication connection, which belongs to no database. */
  readonly replication: boolean
}

export type HbaDecision =
  /** The rule that holds; its method is not `reject`. */
  | { readonly kind: 'matched'; readonly rule: HbaRule }
  | { readonly kind: 'refused'; readonly error: PoolerError }

/**
 * The rules in `text`, which stands in the file `path`; included files come from `files`. Throws one
 * PoolerError F0000 with file, line number and reason for every bad line.
 */
export function parseHba(text: string, path: string, files: AccessFiles, ownNetworks: OwnNetworks): HbaRules {
  const problems = new AccessFileProblems()
  const rules: HbaRule[] = []
  const reader = new AccessFileReader(files, problems, (fields, file, line) => {
    rules.push(parseHbaRule(fields, `${file}:${line}`))
  })
  reader.read(text, path)
  problems.throwIfAny()
  return new HbaRules(rules, ownNetworks)
}

export class HbaRules {
  readonly rules: readonly HbaRule[]
  readonly #ownNetworks: OwnNetworks

  constructor(rules: readonly HbaRule[], ownNetworks: OwnNetworks) {
    this.rules = rules
    this.#ownNetworks = ownNetworks
  }

  /** The first rule that covers the connection decides; without one it is refused. */
  match(attempt: HbaConnectionAttempt): HbaDecision {
    const { encrypted, replication } = attempt
    const user = cutName(attempt.user)
    const database = cutName(attempt.database)
    const address = parseClientIp(attempt.address)
    const rule = this.rules.find(
      (candidate) =>
        coversConnection(candidate, attempt.address === '', encrypted) &&
        (candidate.address === undefined || coversAddress(candidate.address, address, this.#ownNetworks)) &&
        (replication
          ? coversReplication(candidate.databases)
          : coversDatabase(candidate.databases, database, user)) &&
        coversUser(candidate.users, user),
    )
    if (rule !== undefined && rule.method !== 'reject') return { kind: 'matched', rule }
    return { kind: 'refused', error: refusal(attempt, rule) }
  }
}

/** No connection is encrypted by GSSAPI, so `hostgssenc` covers none, and `hostnogssenc` all of TCP. */
function coversConnection({ connection }: HbaRule, isLocal: boolean, encrypted: boolean): boolean {
  switch (connection) {
    case 'local':
      return isLocal
    case 'host':
    case 'hostnogssenc':
      return !isLocal
    case 'hostssl':
      return !isLocal && encrypted
    case 'hostnossl':
      return !isLocal && !encrypted
    case 'hostgssenc':
      return false
  }
}

/** PostgreSQL's own wording; which rule rejects is for the log alone. */
function refusal(attempt: HbaConnectionAttempt, rule: HbaRule | undefined): PoolerError {
  const { database, user, encrypted, replication } = attempt
  const from = `host "${attempt.address === '' ? '[local]' : attempt.address}", user "${user}"`
  const where = replication ? from : `${from}, database "${database}"`
  const how = encrypted ? 'SSL encryption' : 'no encryption'
  if (rule === undefined) {
    const whose = replication ? 'replication connection from ' : ''
    const message = `no pg_hba.conf entry for ${whose}${where}, ${how}`
    return new PoolerError(SqlState.InvalidAuthorization, message)
  }
  const what = replication ? 'replication connection' : 'connection'
  const message = `pg_hba.conf rejects ${what} for ${where}, ${how}`
  return new PoolerError(SqlState.InvalidAuthorization, message, { cause: new Error(rule.source) })
}
