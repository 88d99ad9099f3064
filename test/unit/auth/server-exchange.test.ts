import { describe, expect, test } from 'vitest'
import { type AuthType, ClientExchange } from '../../../src/auth/client-exchange.ts'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { ServerExchange, type ServerStep } from '../../../src/auth/server-exchange.ts'
import { parseSecret } from '../../../src/auth/user-secret.ts'
import {
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationMd5Password,
  encodeAuthenticationOk,
  encodeAuthenticationSasl,
  encodeAuthenticationSaslContinue,
  encodeAuthenticationSaslFinal,
} from '../../../src/protocol/authentication.ts'

const HEADER = 5
const USER = 'alice'
const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371' // alice, secret
const SCRAM_TEXT = formatScramVerifier(await makeScramVerifier('secret'))
const SCRAM_REQUEST = encodeAuthenticationSasl(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'])

function exchangeOf(secretText: string | undefined): ServerExchange {
  return new ServerExchange({
    user: USER,
    secret: secretText === undefined ? undefined : parseSecret(secretText),
  })
}

function receive(exchange: ServerExchange, message: Buffer): Promise<ServerStep> {
  return exchange.onAuthentication(message, HEADER, message.length)
}

function textToSend(step: ServerStep): string {
  if (step.kind !== 'send') throw new Error(step.kind === 'failed' ? step.error.message : step.kind)
  return step.message.toString('utf8', HEADER)
}

function failure(message: RegExp, sqlState = '08P01'): object {
  return { kind: 'failed', error: { sqlState, message: expect.stringMatching(message) } }
}

/** Sends the request for SCRAM and returns the client's nonce. */
async function beginScram(exchange: ServerExchange): Promise<string> {
  const text = textToSend(await receive(exchange, SCRAM_REQUEST))
  return text.slice(text.indexOf('r=') + 2)
}

/** Plays the login to its end against our own server side; returns the last step of each. */
async function play(
  authType: AuthType,
  stored: string,
  configured: string,
): Promise<{ client: ServerStep | undefined; server: string }> {
  const server = new ClientExchange({ authType, user: USER, secret: parseSecret(stored) })
  const client = exchangeOf(configured)
  let reply = server.start()
  while (reply.kind === 'send') {
    const step = await receive(client, reply.message)
    if (step.kind !== 'send') return { client: step, server: reply.kind }
    reply = await server.onMessage(step.message, HEADER, step.message.length)
  }
  if (reply.kind === 'failed') return { client: undefined, server: reply.error.sqlState }
  if (reply.message !== undefined) expect(await receive(client, reply.message)).toEqual({ kind: 'continue' })
  return { client: await receive(client, encodeAuthenticationOk()), server: reply.kind }
}

const bothOk = { client: { kind: 'ok' }, server: 'ok' }

describe('both exchanges understand each other', () => {
  test.each([
    ['trust', 'secret', 'secret'],
    ['plain', 'secret', 'secret'],
    ['plain', MD5, 'secret'],
    ['plain', SCRAM_TEXT, 'secret'],
    ['md5', 'secret', 'secret'],
    ['md5', MD5, 'secret'],
    ['md5', 'secret', MD5],
    ['md5', MD5, MD5],
    ['md5', SCRAM_TEXT, 'secret'],
    ['scram-sha-256', 'secret', 'secret'],
    ['scram-sha-256', SCRAM_TEXT, 'secret'],
    ['scram-sha-256', 'pa\u0308ss', 'p\u00e4ss'],
  ] as const)('%s: the server stores %s, the pooler has %s', async (authType, stored, configured) => {
    expect(await play(authType, stored, configured)).toEqual(bothOk)
  })

  test.each(['plain', 'md5', 'scram-sha-256'] as const)('%s refuses a wrong password', async (authType) => {
    expect(await play(authType, 'secret', 'wrong')).toEqual({ client: undefined, server: '28P01' })
  })

  test('many logins at once with one secret succeed', async () => {
    const secret = parseSecret('secret')
    const logins = Array.from({ length: 20 }, async () => {
      const server = new ClientExchange({ authType: 'scram-sha-256', user: USER, secret })
      const client = new ServerExchange({ user: USER, secret })
      let reply = server.start()
      while (reply.kind === 'send') {
        const step = await receive(client, reply.message)
        if (step.kind !== 'send') return step.kind
        reply = await server.onMessage(step.message, HEADER, step.message.length)
      }
      return reply.kind
    })
    expect(new Set(await Promise.all(logins))).toEqual(new Set(['ok']))
  })
})

describe('trust', () => {
  test('needs no secret', async () => {
    expect(await receive(exchangeOf(undefined), encodeAuthenticationOk())).toEqual({ kind: 'ok' })
  })
})

describe('a secret that does not fit names the user and what to configure', () => {
  const requests: Readonly<Record<string, Buffer>> = {
    cleartext: encodeAuthenticationCleartextPassword(),
    md5: encodeAuthenticationMd5Password(Buffer.from('salt')),
    scram: SCRAM_REQUEST,
  }

  test.each([
    ['cleartext', undefined, /a plain password, but no password is configured/],
    ['md5', undefined, /md5, but no password is configured/],
    ['scram', undefined, /SCRAM-SHA-256, but no password is configured/],
    ['scram', '', /no password is configured/],
    ['cleartext', MD5, /only an md5 hash is configured/],
    ['scram', MD5, /only an md5 hash is configured/],
    ['cleartext', SCRAM_TEXT, /only a SCRAM secret is configured/],
    ['md5', SCRAM_TEXT, /only a SCRAM secret is configured/],
    ['scram', SCRAM_TEXT, /only a SCRAM secret is configured/],
  ])('%s with %s', async (method, secret, message) => {
    const step = await receive(exchangeOf(secret), requests[method] as Buffer)
    expect(step).toMatchObject(failure(message, '28000'))
    expect(step).toMatchObject({
      error: {
        message: expect.stringMatching(/^cannot log in to PostgreSQL as user "alice": /),
        hint: 'Set the plain password of user "alice" in [users] or in the auth_file.',
      },
    })
  })
})

describe('an unsupported method is named', () => {
  test.each([
    [7, /GSSAPI/],
    [9, /SSPI/],
    [2, /Kerberos/],
    [77, /authentication method 77/],
  ])('%i', async (code, message) => {
    const body = Buffer.alloc(4)
    body.writeInt32BE(code)
    expect(await exchangeOf('secret').onAuthentication(body, 0, 4)).toMatchObject(failure(message, '0A000'))
  })

  test('SASL without SCRAM-SHA-256', async () => {
    const step = await receive(exchangeOf('secret'), encodeAuthenticationSasl(['OAUTHBEARER']))
    expect(step).toMatchObject(failure(/SASL mechanism other than SCRAM-SHA-256/, '0A000'))
  })
})

describe('a server that breaks the protocol', () => {
  test('by a malformed message', async () => {
    const step = await exchangeOf('secret').onAuthentication(Buffer.from([0, 0]), 0, 2)
    expect(step).toMatchObject(failure(/malformed Authentication message/))
  })

  test('by AuthenticationOk in the middle of SCRAM', async () => {
    const exchange = exchangeOf('secret')
    const nonce = await beginScram(exchange)
    expect(await receive(exchange, encodeAuthenticationOk())).toMatchObject(
      failure(/AuthenticationOk where AuthenticationSASLContinue was due/),
    )
    const later = exchangeOf('secret')
    const laterNonce = await beginScram(later)
    expect(laterNonce).not.toBe(nonce)
    await receive(later, encodeAuthenticationSaslContinue(`r=${laterNonce}x,s=c2FsdA==,i=1`))
    expect(await receive(later, encodeAuthenticationOk())).toMatchObject(
      failure(/AuthenticationOk where AuthenticationSASLFinal was due/),
    )
  })

  test('by a wrong signature', async () => {
    const exchange = exchangeOf('secret')
    const nonce = await beginScram(exchange)
    await receive(exchange, encodeAuthenticationSaslContinue(`r=${nonce}x,s=c2FsdA==,i=1`))
    const signature = Buffer.alloc(32).toString('base64')
    expect(await receive(exchange, encodeAuthenticationSaslFinal(`v=${signature}`))).toMatchObject(
      failure(/could not prove/, '28000'),
    )
    expect(await receive(exchange, encodeAuthenticationOk())).toMatchObject({ kind: 'failed' })
  })

  test('by a million and one iterations', async () => {
    const exchange = exchangeOf('secret')
    const nonce = await beginScram(exchange)
    const step = await receive(exchange, encodeAuthenticationSaslContinue(`r=${nonce}x,s=c2FsdA==,i=1000001`))
    expect(step).toMatchObject(failure(/iteration count is not a number from 1 to 1000000/))
  })

  test('by a nonce of 64 KiB', async () => {
    const exchange = exchangeOf('secret')
    const nonce = await beginScram(exchange)
    const long = `r=${nonce}${'x'.repeat(65_536)},s=c2FsdA==,i=1`
    expect(await receive(exchange, encodeAuthenticationSaslContinue(long))).toMatchObject(failure(/nonce/))
  })

  test('by asking for the password after SCRAM has begun', async () => {
    const exchange = exchangeOf('secret')
    await beginScram(exchange)
    expect(await receive(exchange, encodeAuthenticationCleartextPassword())).toMatchObject(
      failure(/AuthenticationCleartextPassword where/),
    )
  })

  test('by asking for the password twice', async () => {
    const exchange = exchangeOf('secret')
    expect(textToSend(await receive(exchange, encodeAuthenticationCleartextPassword()))).toBe('secret\0')
    expect(await receive(exchange, encodeAuthenticationCleartextPassword())).toMatchObject({ kind: 'failed' })
  })

  test('by continuing what did not begin', async () => {
    expect(await receive(exchangeOf('secret'), encodeAuthenticationSaslContinue('r=x'))).toMatchObject(
      failure(/AuthenticationSASLContinue where the request/),
    )
  })

  test('by speaking while the keys are derived', async () => {
    const exchange = exchangeOf('secret')
    const nonce = await beginScram(exchange)
    const steps = await Promise.all([
      receive(exchange, encodeAuthenticationSaslContinue(`r=${nonce}x,s=c2FsdA==,i=1`)),
      receive(exchange, encodeAuthenticationOk()),
    ])
    expect(steps.map((step) => step.kind)).toEqual(['failed', 'failed'])
  })

  test('by AuthenticationOk after AuthenticationOk', async () => {
    const exchange = exchangeOf(undefined)
    await receive(exchange, encodeAuthenticationOk())
    expect(await receive(exchange, encodeAuthenticationOk())).toMatchObject(failure(/no message was due/))
  })
})

test('no error tells the secret', async () => {
  const exchange = exchangeOf('topsecret')
  const nonce = await beginScram(exchange)
  const step = await receive(exchange, encodeAuthenticationSaslContinue(`r=${nonce}x,s=,i=1`))
  expect(step.kind === 'failed' ? step.error.message : '').toMatch(/^(?!.*topsecret)./)
})
