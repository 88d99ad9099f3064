import { describe, expect, test } from 'vitest'
import {
  ClientExchange,
  type ClientExchangeOptions,
  type ClientStep,
} from '../../../src/auth/client-exchange.ts'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { PlainSecret, ScramSecret } from '../../../src/auth/user-secret.ts'
import {
  type AuthenticationRequest,
  encodePasswordMessage,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  readAuthentication,
} from '../../../src/protocol/authentication.ts'

const HEADER = 5
const BINDING = Buffer.alloc(32, 7)
const verifier = await makeScramVerifier('secret')

function exchangeOf(options: Partial<ClientExchangeOptions>): ClientExchange {
  return new ClientExchange({ authType: 'scram-sha-256', user: 'alice', secret: undefined, ...options })
}

function requestIn(step: ClientStep): AuthenticationRequest {
  if (step.kind !== 'send') throw step.kind === 'failed' ? step.error : new Error(step.kind)
  return readAuthentication(step.message, HEADER, step.message.length)
}

function send(exchange: ClientExchange, message: Buffer): Promise<ClientStep> {
  return exchange.onMessage(message, HEADER, message.length)
}

/** Plays a client that has the password, and the channel binding if it is on TLS. */
async function logIn(
  exchange: ClientExchange,
  password: string,
  channelBinding?: Buffer,
): Promise<ClientStep> {
  const offer = requestIn(exchange.start())
  if (offer.kind !== 'sasl') throw new Error(offer.kind)
  const plusOffered = offer.mechanisms.includes('SCRAM-SHA-256-PLUS')
  const client = new ScramClient(new PlainSecret(password), { channelBinding, plusOffered })
  const first = encodeSaslInitialResponse(client.mechanism, client.firstMessage())
  const challenge = requestIn(await send(exchange, first))
  if (challenge.kind !== 'sasl-continue') throw new Error(challenge.kind)
  return send(exchange, encodeSaslResponse(await client.finalMessage(challenge.data)))
}

describe('with a channel binding', () => {
  test('SCRAM-SHA-256-PLUS is offered first, and works with and without a client that binds', async () => {
    for (const clientBinding of [BINDING, undefined]) {
      const exchange = exchangeOf({ secret: new PlainSecret('secret'), channelBinding: BINDING })
      expect((await logIn(exchange, 'secret', clientBinding)).kind).toBe('ok')
    }
    const offer = requestIn(exchangeOf({ channelBinding: BINDING }).start())
    expect(offer).toEqual({ kind: 'sasl', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] })
  })

  test('an unknown user is offered the same and fails at the end', async () => {
    const step = await logIn(exchangeOf({ channelBinding: BINDING }), 'secret', BINDING)
    expect(step).toMatchObject({ kind: 'failed', error: { sqlState: '28P01' } })
  })

  test('another one at the client fails', async () => {
    const exchange = exchangeOf({ secret: new PlainSecret('secret'), channelBinding: BINDING })
    const step = await logIn(exchange, 'secret', Buffer.alloc(32, 8))
    expect(step).toMatchObject({ kind: 'failed', error: { message: 'SCRAM channel binding check failed' } })
  })

  test.each([true, false])(
    'a client that was kept from seeing the offer fails, known or not: %s',
    async (known) => {
      const secret = known ? new PlainSecret('secret') : undefined
      const exchange = exchangeOf({ secret, channelBinding: BINDING })
      exchange.start()
      const step = await send(exchange, encodeSaslInitialResponse('SCRAM-SHA-256', 'y,,n=,r=abc'))
      expect(step).toMatchObject({ error: { message: 'SCRAM channel binding negotiation error' } })
    },
  )
})

describe('the key of a client is kept by a SCRAM secret', () => {
  test('that it proved to belong to', async () => {
    const secret = new ScramSecret(verifier)
    expect((await logIn(exchangeOf({ secret }), 'wrong')).kind).toBe('failed')
    expect(secret.hasClientKey).toBe(false)
    expect((await logIn(exchangeOf({ secret }), 'secret')).kind).toBe('ok')
    expect(secret.hasClientKey).toBe(true)
  })

  test('whose password came in clear text', async () => {
    const secret = new ScramSecret(verifier)
    for (const [password, learnt] of [
      ['wrong', false],
      ['secret', true],
    ] as const) {
      const exchange = exchangeOf({ authType: 'plain', secret })
      exchange.start()
      await send(exchange, encodePasswordMessage(password))
      expect(secret.hasClientKey).toBe(learnt)
    }
  })

  test('and never by that of another user, whose password it happens to be', async () => {
    const lookalike = new ScramSecret(verifier)
    const exchange = exchangeOf({ authType: 'plain', user: 'eve', lookalike })
    exchange.start()
    expect((await send(exchange, encodePasswordMessage('secret'))).kind).toBe('failed')
    expect((await logIn(exchangeOf({ user: 'eve', lookalike }), 'secret')).kind).toBe('failed')
    expect(lookalike.hasClientKey).toBe(false)
  })
})
