import { AccessLineError, shown } from './access-file-problems.ts'
import { type AccessName, databaseName, userName } from './access-name.ts'
import type { Field, Token } from './access-tokens.ts'
import { type HbaAddress, readHbaAddress } from './hba-address.ts'
import {
  HBA_CONNECTIONS,
  type HbaConnection,
  type HbaMethod,
  type HbaOptions,
  readHbaMethod,
  readHbaOptions,
} from './hba-method.ts'

/**
 * HbaRule: one line of pg_hba.conf. Made by parseHba, asked by HbaRules.
 * Source: PostgreSQL documentation, "The pg_hba.conf File".
 */
export interface HbaRule extends HbaOptions {
  /** Where it stands, for logs: "pg_hba.conf:12". */
  readonly source: string
  readonly connection: HbaConnection
  readonly databases: readonly AccessName[]
  readonly users: readonly AccessName[]
  /** Undefined for `local`. */
  readonly address: HbaAddress | undefined
  readonly method: HbaMethod
}

/** Throws AccessLineError when the line is malformed, or asks for what the pooler cannot do. */
export function parseHbaRule(fields: readonly Field[], source: string): HbaRule {
  const rest = [...fields]
  const connection = readConnection(oneToken(rest.shift(), 'connection type'))
  const databases = names(rest.shift(), 'database', databaseName)
  const users = names(rest.shift(), 'user', userName)
  const address = connection === 'local' ? undefined : readAddress(rest)
  const method = readHbaMethod(oneToken(rest.shift(), 'authentication method'), connection)
  return {
    source,
    connection,
    databases,
    users,
    address,
    method,
    ...readHbaOptions(rest, method, connection),
  }
}

function readConnection({ text }: Token): HbaConnection {
  const connection = HBA_CONNECTIONS.find((known) => known === text)
  if (connection !== undefined) return connection
  throw new AccessLineError(
    `invalid connection type ${shown(text)}: expected one of ${HBA_CONNECTIONS.join(', ')}`,
  )
}

/** Takes the address from the front of `rest`, and the mask if that is a field of its own. */
function readAddress(rest: Field[]): HbaAddress {
  const address = oneToken(rest.shift(), 'address')
  return readHbaAddress(address, () => oneToken(rest.shift(), 'netmask').text)
}

function names(field: Field | undefined, what: string, read: (token: Token) => AccessName): AccessName[] {
  if (field === undefined) throw new AccessLineError(`the line ends before its ${what}`)
  if (field.length === 0) throw new AccessLineError(`the ${what} field names a file without any names`)
  return field.map(read)
}

function oneToken(field: Field | undefined, what: string): Token {
  const [token, second] = field ?? []
  if (token === undefined) throw new AccessLineError(`the line ends before its ${what}`)
  if (second === undefined) return token
  throw new AccessLineError(`several values for the ${what}: write one line for each`)
}
