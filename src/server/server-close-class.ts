import type { PoolerError } from '../errors.ts'

/** By the beginning of the text that the connection is closed with. */
const BY_BEGINNING: readonly (readonly [string, string])[] = [
  ['server_lifetime', 'server_lifetime'],
  ['server_idle_timeout', 'server_idle_timeout'],
  ['idle for server_idle_timeout', 'server_idle_timeout'],
  ['pause', 'pause'],
  ['reconnect', 'reconnect'],
  ['database configuration changed', 'configuration_changed'],
  ['database removed', 'database_removed'],
  ['pooler is shutting down', 'shutdown'],
  ['pool is not used any more', 'pool_unused'],
  ['more connections than', 'surplus'],
  ['another pool needs its place', 'needed_elsewhere'],
  ['a replication connection needs its place', 'needed_elsewhere'],
  ['its host or address is not listed', 'host_not_listed'],
  ['server connection is not reusable', 'not_reusable'],
  ['the server was not clean', 'not_reusable'],
  ['the server could not be cleaned', 'not_reusable'],
  ['the query of a client that has left', 'client_left'],
  ['client left in the middle', 'client_left'],
  ['its replication client has gone', 'client_left'],
  ['the client that it was opened for has left', 'client_left'],
  ['server closed the connection', 'server_closed'],
  ['the server closed the connection', 'server_closed'],
  ['connection to server was lost', 'server_lost'],
  ['the server sent nonsense', 'protocol_error'],
  ['the server broke the protocol', 'protocol_error'],
  ['server check failed', 'check_failed'],
  ['server_check_query', 'check_failed'],
  ['the server did not answer server_check_query', 'check_failed'],
  ['the server did not complete the login', 'connect_timeout'],
  ['auth_query', 'auth_query'],
]

/** The class of the reason that a server connection was closed for, of a bounded set: a label of metrics. */
export function serverCloseClass({ message, sqlState, response }: PoolerError, loggedIn: boolean): string {
  const known = BY_BEGINNING.find(([beginning]) => message.startsWith(beginning))?.[1]
  if (known !== undefined) return known
  if (!loggedIn || response !== undefined) return 'login_failed'
  // The server's own last words: shut down by its operator, or crashed.
  if (sqlState.startsWith('57')) return 'server_shutdown'
  if (sqlState.startsWith('25')) return 'server_timeout'
  return 'other'
}
