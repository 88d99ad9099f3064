import type { PoolerError } from '../errors.ts'

/** The reasons that are texts of their own. */
const BY_TEXT: Readonly<Record<string, string>> = {
  'client closed the connection': 'client_closed',
  'client close request': 'client_closed',
  'client closed the connection during login': 'login_abandoned',
  'client unexpected eof': 'client_lost',
  'cancel request': 'cancel_request',
  client_login_timeout: 'login_timeout',
  query_timeout: 'query_timeout',
  'query timeout': 'query_timeout',
  query_wait_timeout: 'query_wait_timeout',
  client_idle_timeout: 'client_idle_timeout',
  'idle transaction timeout': 'idle_transaction_timeout',
  'transaction timeout': 'transaction_timeout',
  'server conn crashed?': 'server_lost',
  'pooler is shutting down': 'shutdown',
  'server shutting down': 'shutdown',
  suspend_timeout: 'suspend_timeout',
  'database removed': 'database_removed',
  'database configuration changed': 'configuration_changed',
  'the database is paused': 'paused',
  'admin forced disconnect': 'killed',
  'transaction blocks not allowed in statement pooling mode': 'pool_mode',
  'invalid server parameter': 'invalid_parameter',
  'SSL required': 'tls',
}
const BY_BEGINNING: readonly (readonly [string, string])[] = [
  ['client connection was lost', 'client_lost'],
  ['received a direct TLS connection', 'tls'],
  ['no more connections allowed', 'client_limit'],
  ['client connections exceeded', 'client_limit'],
  ['too many ', 'throttled'],
]
const BY_STATE: Readonly<Record<string, string>> = {
  '08P01': 'protocol_error',
  '3D000': 'unknown_database',
  '42501': 'not_allowed',
  '57P03': 'server_unavailable',
  '08006': 'server_unavailable',
  '57P01': 'shutdown',
}
const BY_STATE_CLASS: Readonly<Record<string, string>> = {
  '08': 'protocol_error',
  '22': 'invalid_parameter',
  '28': 'authentication',
  '53': 'server_limit',
  '54': 'protocol_error',
  '55': 'invalid_parameter',
}

/** The class of the reason that a client connection was closed for, of a bounded set: a label of metrics. */
export function clientCloseClass(reason: string, error: PoolerError | undefined): string {
  const known = BY_TEXT[reason] ?? BY_BEGINNING.find(([beginning]) => reason.startsWith(beginning))?.[1]
  if (known !== undefined) return known
  if (error === undefined) return 'other'
  return BY_STATE[error.sqlState] ?? BY_STATE_CLASS[error.sqlState.slice(0, 2)] ?? 'other'
}
