import { connect } from 'node:net'
import { ServerExchange } from '../../src/auth/server-exchange.ts'
import type { UserSecret } from '../../src/auth/user-secret.ts'
import { readErrorFields } from '../../src/protocol/error-response.ts'
import { startup, terminate } from '../../test/support/frontend-messages.ts'
import type { LoadAddress } from './workload.ts'

/**
 * scramLogin: one client that connects, logs in by SCRAM-SHA-256, and leaves. It keeps the keys that it derives
 * in `secret`, so that the next one with the same salt costs this process nearly nothing.
 */

const HEADER_BYTES = 5
const AUTHENTICATION = 0x52
const ERROR_RESPONSE = 0x45
const READY_FOR_QUERY = 0x5a

/** Resolves with the milliseconds from connect to ReadyForQuery; rejects with the refusal. */
export function scramLogin(address: LoadAddress, secret: UserSecret): Promise<number> {
  const { host, port, user, database } = address
  const startedMs = performance.now()
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    const exchange = new ServerExchange({ user, secret })
    let unread = Buffer.alloc(0)
    const fail = (error: Error): void => {
      reject(error)
      socket.destroy()
    }
    socket.on('connect', () => socket.write(startup({ user, database })))
    socket.on('error', fail)
    socket.on('close', () => reject(new Error('the connection was closed during the login')))
    socket.on('data', (chunk) => {
      unread = Buffer.concat([unread, chunk])
      while (unread.length >= HEADER_BYTES && unread.length > unread.readInt32BE(1)) {
        const end = unread.readInt32BE(1) + 1
        const message = unread.subarray(0, end)
        unread = unread.subarray(end)
        if (message[0] === ERROR_RESPONSE) {
          fail(new Error(readErrorFields(message, HEADER_BYTES, end).message))
        } else if (message[0] === AUTHENTICATION) {
          exchange.onAuthentication(message, HEADER_BYTES, end).then((step) => {
            if (step.kind === 'send') socket.write(step.message)
            else if (step.kind === 'failed') fail(step.error)
          }, fail)
        } else if (message[0] === READY_FOR_QUERY) {
          resolve(performance.now() - startedMs)
          socket.end(terminate())
        }
      }
    })
  })
}
