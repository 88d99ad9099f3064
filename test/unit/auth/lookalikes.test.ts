import { describe, expect, test } from 'vitest'
import { ClientExchange, type ClientStep } from '../../../src/auth/client-exchange.ts'
import { Lookalikes } from '../../../src/auth/lookalikes.ts'
import { md5Response, md5Secret } from '../../../src/auth/md5.ts'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { PlainSecret, parseSecret, type UserSecret } from '../../../src/auth/user-secret.ts'
import {
  type AuthenticationRequest,
  encodePasswordMessage,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  readAuthentication,
} from '../../../src/protocol/authentication.ts'

const HEADER = 5
const NAMES = Array.from({ length: 400 }, (_, index) => `user${index}`)
const verifier = await makeScramVerifier('secret')
const SCRAM = parseSecret(formatScramVerifier(verifier))
const SLOW_SCRAM = parseSecret(formatScramVerifier({ ...verifier, iterations: 10_000 }))
const MD5 = parseSecret(md5Secret('secret', 'alice'))
const PLAIN = new PlainSecret('secret')

function requestIn(step: ClientStep): AuthenticationRequest {
  if (step.kind !== 'send') throw new Error(step.kind)
  return readAuthentication(step.message, HEADER, step.message.length)
}

function send(exchange: ClientExchange, message: Buffer): Promise<ClientStep> {
  return exchange.onMessage(message, HEADER, message.length)
}

function share(lookalikes: Lookalikes, kind: UserSecret['kind']): number {
  return NAMES.filter((name) => lookalikes.of(name)?.kind === kind).length / NAMES.length
}

describe('an unknown user', () => {
  test('resembles known ones in the proportion of their kinds, and always the same', () => {
    const lookalikes = new Lookalikes([PLAIN, SCRAM, MD5, SCRAM])
    expect(share(lookalikes, 'scram')).toBeGreaterThan(0.35)
    expect(share(lookalikes, 'scram')).toBeLessThan(0.65)
    expect(share(lookalikes, 'md5')).toBeGreaterThan(0.1)
    for (const name of NAMES) expect(lookalikes.of(name)).toBe(lookalikes.of(name))
  })

  test('resembles the one kind that there is', () => {
    expect(share(new Lookalikes([SCRAM, SLOW_SCRAM]), 'scram')).toBe(1)
    expect(share(new Lookalikes([MD5]), 'md5')).toBe(1)
    expect(new Lookalikes([]).of('eve')).toBeUndefined()
  })

  test('mostly keeps its kind when a user is added', () => {
    const before = new Lookalikes(Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? PLAIN : SCRAM)))
    const after = new Lookalikes(Array.from({ length: 51 }, (_, index) => (index % 2 === 0 ? PLAIN : SCRAM)))
    const changed = NAMES.filter((name) => before.of(name)?.kind !== after.of(name)?.kind)
    expect(changed.length).toBeLessThan(NAMES.length / 10)
  })
})

describe('with auth_type md5 an unknown user is asked', () => {
  test.each([
    ['md5', MD5, 'md5'],
    ['plain', PLAIN, 'md5'],
    ['SCRAM', SCRAM, 'sasl'],
    ['no', undefined, 'sasl'],
  ])('as one with %s secret', (_kind, lookalike, request) => {
    const exchange = new ClientExchange({ authType: 'md5', user: 'eve', secret: undefined, lookalike })
    expect(requestIn(exchange.start()).kind).toBe(request)
  })
})

test('an unknown user sees the iteration count of the lookalike, and a salt of its own', async () => {
  const challenge = async (user: string) => {
    const options = { authType: 'scram-sha-256', user, secret: undefined, lookalike: SLOW_SCRAM } as const
    const exchange = new ClientExchange(options)
    exchange.start()
    const request = requestIn(await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abc')))
    if (request.kind !== 'sasl-continue') throw new Error(request.kind)
    return request.data.toString().split(',').slice(1)
  }
  expect((await challenge('eve'))[1]).toBe('i=10000')
  expect(await challenge('eve')).toEqual(await challenge('eve'))
  expect((await challenge('eve'))[0]).not.toBe((await challenge('mallory'))[0])
  expect((await challenge('eve'))[0]).not.toBe(`s=${verifier.salt.toString('base64')}`)
})

describe('the password of the lookalike lets nobody in', () => {
  const refused = { kind: 'failed', error: { message: 'password authentication failed for user "alice"' } }
  const unknown = { user: 'alice', secret: undefined }

  test.each([
    ['plain', PLAIN],
    ['md5', MD5],
    ['SCRAM', SCRAM],
  ])('in clear text, %s', async (_kind, lookalike) => {
    const exchange = new ClientExchange({ ...unknown, authType: 'plain', lookalike })
    exchange.start()
    expect(await send(exchange, encodePasswordMessage('secret'))).toMatchObject(refused)
  })

  test.each([
    ['plain', PLAIN],
    ['md5', MD5],
  ])('by md5, %s', async (_kind, lookalike) => {
    const exchange = new ClientExchange({ ...unknown, authType: 'md5', lookalike })
    const request = requestIn(exchange.start())
    if (request.kind !== 'md5') throw new Error(request.kind)
    const response = md5Response(md5Secret('secret', 'alice'), request.salt)
    expect(await send(exchange, encodePasswordMessage(response))).toMatchObject(refused)
  })

  test.each([
    ['plain', PLAIN],
    ['SCRAM', SCRAM],
  ])('by SCRAM, %s', async (_kind, lookalike) => {
    const exchange = new ClientExchange({ ...unknown, authType: 'scram-sha-256', lookalike })
    exchange.start()
    const scram = new ScramClient(new PlainSecret('secret'))
    const challenge = requestIn(
      await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', scram.firstMessage())),
    )
    if (challenge.kind !== 'sasl-continue') throw new Error(challenge.kind)
    const proof = encodeSaslResponse(await scram.finalMessage(challenge.data))
    expect(await send(exchange, proof)).toMatchObject(refused)
  })
})
