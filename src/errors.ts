/**
 * PoolerError: the one error type for everything that a peer, an operator or PostgreSQL did wrong.
 * It carries the SQLSTATE that the client will see. Impossible states are assertions, not PoolerErrors.
 */

/** The SQLSTATE codes that the pooler itself sends. Source: PostgreSQL documentation, appendix A. */
export const SqlState = {
  SuccessfulCompletion: '00000',
  ConnectionFailure: '08006',
  ProtocolViolation: '08P01',
  FeatureNotSupported: '0A000',
  InvalidAuthorization: '28000',
  InvalidPassword: '28P01',
  InvalidCatalogName: '3D000',
  DuplicatePreparedStatement: '42P05',
  InvalidSqlStatementName: '26000',
  InvalidParameterValue: '22023',
  ObjectNotInState: '55000',
  OutOfMemory: '53200',
  TooManyConnections: '53300',
  ProgramLimitExceeded: '54000',
  QueryCanceled: '57014',
  IdleInTransactionTimeout: '25P03',
  TransactionTimeout: '25P04',
  IdleSessionTimeout: '57P05',
  AdminShutdown: '57P01',
  CannotConnectNow: '57P03',
  ConfigurationError: 'F0000',
} as const
export type SqlState = (typeof SqlState)[keyof typeof SqlState]

/** Classes of SQLSTATE that go by: connection exceptions, too few resources, operator intervention (start, stop). */
export const PASSING_TROUBLE: ReadonlySet<string> = new Set(['08', '53', '57'])

/** How bad it is for the client: after FATAL the pooler closes the connection. */
export type Severity = 'ERROR' | 'FATAL'

export interface PoolerErrorOptions {
  severity?: Severity
  detail?: string
  hint?: string
  cause?: unknown
  /**
   * An ErrorResponse of PostgreSQL that is passed on to clients as it came (type byte included) instead of
   * one built from this error's own fields.
   */
  response?: Buffer
}

/** An error with the SQLSTATE that the client sees; FATAL unless `severity` says otherwise. */
export class PoolerError extends Error {
  override readonly name = 'PoolerError'
  readonly sqlState: string
  readonly severity: Severity
  readonly detail: string | undefined
  readonly hint: string | undefined
  readonly response: Buffer | undefined

  constructor(sqlState: string, message: string, options: PoolerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.sqlState = sqlState
    this.severity = options.severity ?? 'FATAL'
    this.detail = options.detail
    this.hint = options.hint
    this.response = options.response
  }
}
