import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AuthType, ClientExchange, type ClientStep } from '../../../src/auth/client-exchange.ts'
import { md5Response, md5Secret } from '../../../src/auth/md5.ts'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { PlainSecret, parseSecret, ScramSecret, type UserSecret } from '../../../src/auth/user-secret.ts'
import {
  type AuthenticationRequest,
  encodePasswordMessage,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  readAuthentication,
} from '../../../src/protocol/authentication.ts'

const HEADER = 5
const USER = 'alice'
const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371' // alice, secret
const SCRAM_TEXT = formatScramVerifier(await makeScramVerifier('secret'))

function exchangeOf(authType: AuthType, secretText: string | undefined, user = USER): ClientExchange {
  const secret: UserSecret | undefined = secretText === undefined ? undefined : parseSecret(secretText)
  return new ClientExchange({ authType, user, secret })
}

function send(exchange: ClientExchange, message: Buffer): Promise<ClientStep> {
  return exchange.onMessage(message, HEADER, message.length)
}

function requestIn(step: ClientStep): AuthenticationRequest {
  if (step.kind !== 'send') throw new Error(`expected a message to send, got ${inspectStep(step)}`)
  return readAuthentication(step.message, HEADER, step.message.length)
}

function inspectStep(step: ClientStep): string {
  return step.kind === 'failed' ? step.error.message : step.kind
}

const wrongPassword = {
  kind: 'failed',
  error: {
    severity: 'FATAL',
    sqlState: '28P01',
    message: 'password authentication failed for user "alice"',
    detail: undefined,
    hint: undefined,
  },
}

function violation(message: RegExp, sqlState = '08P01'): object {
  return { kind: 'failed', error: { severity: 'FATAL', sqlState, message: expect.stringMatching(message) } }
}

async function scramLogin(exchange: ClientExchange, password: string): Promise<ClientStep> {
  expect(requestIn(exchange.start())).toEqual({ kind: 'sasl', mechanisms: ['SCRAM-SHA-256'] })
  const scram = new ScramClient(new PlainSecret(password))
  const challenge = requestIn(
    await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', scram.firstMessage())),
  )
  if (challenge.kind !== 'sasl-continue') throw new Error(challenge.kind)
  const step = await send(exchange, encodeSaslResponse(await scram.finalMessage(challenge.data)))
  if (step.kind === 'ok' && step.message !== undefined) {
    const final = readAuthentication(step.message, HEADER, step.message.length)
    if (final.kind !== 'sasl-final') throw new Error(final.kind)
    scram.verify(final.data)
  }
  return step
}

async function passwordLogin(exchange: ClientExchange, password: string): Promise<ClientStep> {
  expect(requestIn(exchange.start())).toEqual({ kind: 'cleartext' })
  return send(exchange, encodePasswordMessage(password))
}

async function md5Login(exchange: ClientExchange, stored: string): Promise<ClientStep> {
  const request = requestIn(exchange.start())
  if (request.kind !== 'md5') throw new Error(request.kind)
  return send(exchange, encodePasswordMessage(md5Response(stored, request.salt)))
}

describe('trust', () => {
  test('lets everybody in at once', () => {
    expect(exchangeOf('trust', 'secret').start()).toEqual({ kind: 'ok' })
    expect(exchangeOf('trust', undefined).start()).toEqual({ kind: 'ok' })
  })
})

describe('plain', () => {
  test.each([
    ['plain', 'secret'],
    ['md5', MD5],
    ['SCRAM', SCRAM_TEXT],
  ])('compares with a %s secret', async (_kind, stored) => {
    expect(await passwordLogin(exchangeOf('plain', stored), 'secret')).toEqual({ kind: 'ok' })
    expect(await passwordLogin(exchangeOf('plain', stored), 'Secret')).toMatchObject(wrongPassword)
    expect(await passwordLogin(exchangeOf('plain', stored), 'secretsecret')).toMatchObject(wrongPassword)
  })

  test('an unknown user fails like a wrong password', async () => {
    expect(await passwordLogin(exchangeOf('plain', undefined), 'secret')).toMatchObject(wrongPassword)
  })

  test('the bytes of the password are those at the time of the call', async () => {
    const exchange = exchangeOf('plain', SCRAM_TEXT)
    exchange.start()
    const message = encodePasswordMessage('secret')
    const step = send(exchange, message)
    message.fill(0)
    expect(await step).toEqual({ kind: 'ok' })
  })

  test('a password of 65,530 bytes works', async () => {
    const password = 'ü'.repeat(65_530 / 2)
    expect(await passwordLogin(exchangeOf('plain', password), password)).toEqual({ kind: 'ok' })
  })

  test('a password in another encoding is not equal to replacement characters', async () => {
    const exchange = exchangeOf('plain', 'p\ufffd')
    exchange.start()
    const body = Buffer.from('p\xe4\0', 'latin1')
    expect(await exchange.onMessage(body, 0, body.length)).toMatchObject(wrongPassword)
  })
})

describe('md5', () => {
  test.each([
    ['plain', 'secret'],
    ['md5', MD5],
  ])('works with a %s secret', async (_kind, stored) => {
    expect(await md5Login(exchangeOf('md5', stored), MD5)).toEqual({ kind: 'ok' })
    expect(await md5Login(exchangeOf('md5', stored), MD5.replace('4', '5'))).toMatchObject(wrongPassword)
  })

  test('turns into SCRAM for a user with a SCRAM secret', async () => {
    expect(await scramLogin(exchangeOf('md5', SCRAM_TEXT), 'secret')).toMatchObject({ kind: 'ok' })
    expect(await scramLogin(exchangeOf('md5', SCRAM_TEXT), 'wrong')).toMatchObject(wrongPassword)
  })

  test('an unknown user fails like a wrong password', async () => {
    const lookalike = parseSecret(MD5)
    const exchange = new ClientExchange({ authType: 'md5', user: USER, secret: undefined, lookalike })
    expect(await md5Login(exchange, MD5)).toMatchObject(wrongPassword)
    expect(await scramLogin(exchangeOf('md5', undefined), 'secret')).toMatchObject(wrongPassword)
  })

  test('every dialogue has a salt of its own', () => {
    expect(requestIn(exchangeOf('md5', MD5).start())).not.toEqual(requestIn(exchangeOf('md5', MD5).start()))
  })

  test('the plain password is no answer', async () => {
    const exchange = exchangeOf('md5', 'secret')
    exchange.start()
    expect(await send(exchange, encodePasswordMessage('secret'))).toMatchObject(wrongPassword)
  })
})

describe('scram-sha-256', () => {
  test.each([
    ['plain', 'secret'],
    ['SCRAM', SCRAM_TEXT],
  ])('works with a %s secret', async (_kind, stored) => {
    expect(await scramLogin(exchangeOf('scram-sha-256', stored), 'secret')).toMatchObject({
      kind: 'ok',
      message: expect.any(Buffer),
    })
    expect(await scramLogin(exchangeOf('scram-sha-256', stored), 'wrong')).toMatchObject(wrongPassword)
  })

  test('a user with an md5 secret fails, and the log learns why', async () => {
    const step = await scramLogin(exchangeOf('scram-sha-256', MD5), 'secret')
    expect(step).toMatchObject(wrongPassword)
    expect(step).toMatchObject({ error: { cause: { message: expect.stringMatching(/md5 secret/) } } })
  })

  test('an unknown user goes through the whole dialogue and fails like a wrong password', async () => {
    expect(await scramLogin(exchangeOf('scram-sha-256', undefined), 'secret')).toMatchObject(wrongPassword)
  })

  test('an unknown user who asks twice sees the same salt and iteration count', async () => {
    const challenges = await Promise.all(
      [1, 2].map(async () => {
        const exchange = exchangeOf('scram-sha-256', undefined)
        exchange.start()
        return requestIn(await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abc')))
      }),
    )
    const [first, second] = challenges.map((challenge) => {
      if (challenge.kind !== 'sasl-continue') throw new Error(challenge.kind)
      return challenge.data.toString().split(',').slice(1)
    })
    expect(first).toEqual(second)
    expect(first?.[1]).toBe('i=4096')
  })

  test('a client without initial response gets an empty challenge first', async () => {
    const exchange = exchangeOf('scram-sha-256', 'secret')
    exchange.start()
    const withoutResponse = Buffer.from('SCRAM-SHA-256\0\xff\xff\xff\xff', 'latin1')
    const empty = requestIn(await exchange.onMessage(withoutResponse, 0, withoutResponse.length))
    expect(empty).toEqual({ kind: 'sasl-continue', data: Buffer.alloc(0) })
    const scram = new ScramClient(new PlainSecret('secret'))
    const challenge = requestIn(await send(exchange, encodeSaslResponse(scram.firstMessage())))
    if (challenge.kind !== 'sasl-continue') throw new Error(challenge.kind)
    const step = await send(exchange, encodeSaslResponse(await scram.finalMessage(challenge.data)))
    expect(step.kind).toBe('ok')
  })

  test('another mechanism answers 08P01', async () => {
    const exchange = exchangeOf('scram-sha-256', 'secret')
    exchange.start()
    const step = await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256-PLUS', 'n,,n=,r=abc'))
    expect(step).toMatchObject(violation(/mechanism that was not offered/))
  })

  test.each([
    ['a malformed client-first message', 'n,,r=abc', /malformed SCRAM client-first/],
    ['channel binding', 'p=tls-unique,,n=,r=abc', /channel binding/],
  ])('%s answers 08P01, with an unknown user too', async (_what, clientFirst, message) => {
    for (const stored of ['secret', undefined]) {
      const exchange = exchangeOf('scram-sha-256', stored)
      exchange.start()
      const step = await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', clientFirst))
      expect(step).toMatchObject(violation(message))
    }
  })

  test.each(['secret', undefined])('a malformed client-final message answers 08P01', async (stored) => {
    const exchange = exchangeOf('scram-sha-256', stored)
    exchange.start()
    await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abc'))
    expect(await send(exchange, encodeSaslResponse('c=biws'))).toMatchObject(violation(/client-final/))
  })
})

describe('a malformed message', () => {
  test.each(['plain', 'md5', 'scram-sha-256'] as const)('fails a login with %s', async (authType) => {
    const exchange = exchangeOf(authType, 'secret')
    exchange.start()
    expect(await exchange.onMessage(Buffer.from('no end'), 0, 6)).toMatchObject(violation(/malformed/))
  })
})

test('no bytes of a client make the promise reject', async () => {
  const authTypes = fc.constantFrom<AuthType>('plain', 'md5', 'scram-sha-256')
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(authTypes, messages, async (authType, bodies) => {
      const exchange = exchangeOf(authType, 'secret')
      exchange.start()
      for (const body of bodies) {
        const step = await exchange.onMessage(Buffer.from(body), 0, body.length)
        expect(['send', 'failed']).toContain(step.kind)
      }
    }),
  )
})

describe('an empty password', () => {
  test.each(['plain', 'md5'] as const)('is refused with %s', async (authType) => {
    const exchange = exchangeOf(authType, 'secret')
    exchange.start()
    expect(await send(exchange, encodePasswordMessage(''))).toMatchObject(
      violation(/^empty password/, '28P01'),
    )
  })

  test('on file lets nobody in', async () => {
    const lookalike = parseSecret(MD5)
    const exchange = new ClientExchange({ authType: 'md5', user: USER, secret: parseSecret(''), lookalike })
    expect(await md5Login(exchange, md5Secret('', USER))).toMatchObject(wrongPassword)
    expect(await scramLogin(exchangeOf('scram-sha-256', ''), '')).toMatchObject(wrongPassword)
  })
})

describe('a message out of turn', () => {
  test('fails before start and after the end', async () => {
    const early = exchangeOf('plain', 'secret')
    expect(await send(early, encodePasswordMessage('secret'))).toMatchObject(violation(/none was asked for/))
    const trusted = exchangeOf('trust', undefined)
    trusted.start()
    expect(await send(trusted, encodePasswordMessage('x'))).toMatchObject(violation(/none was asked for/))
  })

  test('fails while the one before is checked, and that one too', async () => {
    const exchange = exchangeOf('plain', SCRAM_TEXT)
    exchange.start()
    const message = encodePasswordMessage('secret')
    const steps = await Promise.all([send(exchange, message), send(exchange, message)])
    expect(steps.map((step) => step.kind)).toEqual(['failed', 'failed'])
    expect(await send(exchange, message)).toMatchObject(violation(/none was asked for/))
  })

  test('does not make up for a wrong password', async () => {
    const exchange = exchangeOf('plain', 'secret')
    await passwordLogin(exchange, 'wrong')
    expect(await send(exchange, encodePasswordMessage('secret'))).toMatchObject({ kind: 'failed' })
  })
})

test('a stored secret with more iterations than anybody should compute is not computed', async () => {
  const verifier = { ...(await makeScramVerifier('pencil')), iterations: 2_147_483_647 }
  const exchange = new ClientExchange({ authType: 'plain', user: 'eve', secret: new ScramSecret(verifier) })
  exchange.start()
  const message = encodePasswordMessage('pencil')
  const step = await exchange.onMessage(message, 5, message.length)
  expect(step).toMatchObject({ kind: 'failed', error: { sqlState: '28P01' } })
})
