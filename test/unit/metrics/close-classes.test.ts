import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { clientCloseClass } from '../../../src/client/client-close-class.ts'
import { PoolerError } from '../../../src/errors.ts'
import { violationKind } from '../../../src/net/violation-kind.ts'
import { serverCloseClass } from '../../../src/server/server-close-class.ts'

describe('the class of the reason that a client connection was closed for', () => {
  test.each<[string, string | undefined, string]>([
    ['client closed the connection', undefined, 'client_closed'],
    ['client connection was lost: read ECONNRESET', undefined, 'client_lost'],
    ['password authentication failed for user "ann"', '28P01', 'authentication'],
    ['no more connections allowed (max_client_conn)', '53300', 'client_limit'],
    ['too many wrong passwords came from your address (max_failed_logins_per_address)', '53300', 'throttled'],
    ['database "x" does not exist', '3D000', 'unknown_database'],
    ['the server cannot be reached (ECONNREFUSED) at 127.0.0.1:1', '57P03', 'server_unavailable'],
    ['invalid frontend message type 126', '08P01', 'protocol_error'],
    ['something that a server said', 'XX000', 'other'],
    ['something new', undefined, 'other'],
  ])('%s', (reason, sqlState, expected) => {
    expect(
      clientCloseClass(reason, sqlState === undefined ? undefined : new PoolerError(sqlState, reason)),
    ).toBe(expected)
  })

  test.each(['query timeout', 'transaction timeout', 'idle transaction timeout', 'client_idle_timeout'])(
    '%s, a timeout of a session',
    async (text) => {
      expect(await readFile('src/multiplexer/session-timeouts.ts', 'utf8')).toContain(`'${text}'`)
      expect(clientCloseClass(text, new PoolerError('57014', text))).toBe(text.replaceAll(' ', '_'))
    },
  )
})

describe('the class of the reason that a server connection was closed for', () => {
  test.each<[string, string, boolean, string]>([
    ['57P01', 'server_lifetime', true, 'server_lifetime'],
    ['57P01', 'more connections than a shared limit', true, 'surplus'],
    ['57P01', 'its host or address is not listed any more', true, 'host_not_listed'],
    ['08006', 'connection to server was lost: read ECONNRESET', true, 'server_lost'],
    ['57P01', 'terminating connection due to administrator command', true, 'server_shutdown'],
    ['28P01', 'password authentication failed for user "ann"', false, 'login_failed'],
    ['XX000', 'anything', true, 'other'],
  ])('%s %s', (sqlState, message, loggedIn, expected) => {
    expect(serverCloseClass(new PoolerError(sqlState, message), loggedIn)).toBe(expected)
  })
})

describe('the kind of a breach of the protocol', () => {
  test.each<[string, string, string]>([
    ['08P01', 'invalid frontend message type 126', 'invalid_message 08P01'],
    ['08P01', 'invalid message: type 0x7e, length 4', 'invalid_message 08P01'],
    ['08P01', 'invalid message length', 'invalid_length 08P01'],
    ['54000', 'a statement of 9 bytes is too long to be prepared', 'too_long 54000'],
    ['08P01', 'unexpected password message', 'unexpected_message 08P01'],
    ['08P01', 'received a second SSL request', 'encryption_request 08P01'],
    ['08P01', 'Bind ends too early', 'malformed 08P01'],
  ])('%s %s', (sqlState, message, expected) => {
    expect(violationKind(new PoolerError(sqlState, message))).toBe(expected)
  })
})
