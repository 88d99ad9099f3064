import { createHash } from 'node:crypto'
import { chown } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ServerExchange } from '../../../src/auth/server-exchange.ts'
import { PlainSecret } from '../../../src/auth/user-secret.ts'
import { runProgram } from '../../../src/embedded/child-process.ts'
import { unprivilegedUser } from '../../../src/embedded/unprivileged-user.ts'
import { readErrorFields } from '../../../src/protocol/error-response.ts'
import { encodeStartupMessage } from '../../../src/protocol/startup.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** Channel binding with a real PostgreSQL over TLS, the pooler's exchange being the client. */

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const HEADER = 5

let postgres: TestCluster

beforeAll(async () => {
  postgres = await startPostgres()
  const key = join(postgres.folder, 'data', 'server.key')
  const certificate = join(postgres.folder, 'data', 'server.crt')
  const { exitCode, output } = await runProgram(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-sha256'],
      ...['-subj', '/CN=localhost', '-keyout', key, '-out', certificate],
    ],
    { user: null },
  )
  if (exitCode !== 0) throw new Error(`openssl failed: ${output}`)
  const user = await unprivilegedUser()
  if (user !== null) for (const path of [key, certificate]) await chown(path, user.uid, user.gid)
  await postgres.query('ALTER SYSTEM SET ssl = on')
  await postgres.restart()
})
afterAll(() => postgres.stop())

async function openTls(): Promise<TLSSocket> {
  const plain = connectSocket({ host: postgres.host, port: postgres.port })
  plain.write(SSL_REQUEST)
  const [answer] = await nextChunk(plain)
  if (answer !== 'S'.charCodeAt(0)) throw new Error('PostgreSQL does not offer TLS')
  const socket = connectTls({ socket: plain, rejectUnauthorized: false })
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  return socket
}

function nextChunk(socket: NodeJS.ReadableStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk: Buffer) => {
      socket.pause()
      resolve(chunk)
    })
    socket.once('error', reject)
    socket.once('end', () => reject(new Error('the connection was closed')))
    socket.resume()
  })
}

/** What tells how a login went: the mechanism, and "ok" or the refusal. */
async function logIn(binding: (real: Buffer) => Buffer | undefined, password = 'postgres'): Promise<string> {
  const socket = await openTls()
  const real = createHash('sha256').update(socket.getPeerCertificate().raw).digest()
  const exchange = new ServerExchange({
    user: 'postgres',
    secret: new PlainSecret(password),
    channelBinding: binding(real),
  })
  let mechanism = ''
  let unread = Buffer.alloc(0)
  socket.write(encodeStartupMessage([['user', 'postgres']]))
  try {
    for (;;) {
      while (unread.length < HEADER || unread.length < unread.readInt32BE(1) + 1) {
        unread = Buffer.concat([unread, await nextChunk(socket)])
      }
      const end = unread.readInt32BE(1) + 1
      if (unread[0] === 'E'.charCodeAt(0)) {
        const { sqlState, message } = readErrorFields(unread, HEADER, end)
        return `${mechanism}: ${sqlState} ${message}`
      }
      const step = await exchange.onAuthentication(unread, HEADER, end)
      unread = unread.subarray(end)
      if (step.kind === 'ok') return `${mechanism}: ok`
      if (step.kind === 'failed') return `${mechanism}: ${step.error.sqlState} ${step.error.message}`
      if (step.kind === 'send') {
        if (mechanism === '')
          mechanism = step.message.toString('latin1', HEADER, step.message.indexOf(0, HEADER))
        socket.write(step.message)
      }
    }
  } finally {
    socket.destroy()
  }
}

describe('a login to PostgreSQL over TLS', () => {
  test('binds the channel', async () => {
    expect(await logIn((real) => real)).toBe('SCRAM-SHA-256-PLUS: ok')
  })

  test('binds the channel also where the password is wrong', async () => {
    expect(await logIn((real) => real, 'wrong')).toMatch(
      /^SCRAM-SHA-256-PLUS: 28P01 password authentication failed/,
    )
  })

  test('is refused where the channel is bound to another certificate', async () => {
    expect(await logIn(() => Buffer.alloc(32, 1))).toBe(
      'SCRAM-SHA-256-PLUS: 28000 SCRAM channel binding check failed',
    )
  })

  test('does without where the binding is not known', async () => {
    expect(await logIn(() => undefined)).toBe('SCRAM-SHA-256: ok')
  })
})
