import { describe, expect, test } from 'vitest'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { ScramServer } from '../../../src/auth/scram-server.ts'
import { makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { ServerExchange } from '../../../src/auth/server-exchange.ts'
import { PlainSecret } from '../../../src/auth/user-secret.ts'
import { encodeAuthenticationSasl } from '../../../src/protocol/authentication.ts'

const PLUS = 'SCRAM-SHA-256-PLUS'
const PLAIN = 'SCRAM-SHA-256'
const BINDING = Buffer.from('2fbb3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607', 'hex')
const OTHER_BINDING = Buffer.alloc(32, 1)

const verifier = await makeScramVerifier('pencil')
const secret = new PlainSecret('pencil')

interface Sides {
  /** What the client's TLS connection is bound to, and the server's; undefined without TLS. */
  readonly client?: Buffer
  readonly server?: Buffer
  /** What the client is told of the offer: somebody in between may have changed it. */
  readonly plusOffered: boolean
}

/** Plays the dialogue; resolves with the mechanism that the client chose. */
async function play(sides: Sides): Promise<string> {
  const client = new ScramClient(secret, { channelBinding: sides.client, plusOffered: sides.plusOffered })
  const server = new ScramServer(verifier, { mechanism: client.mechanism, channelBinding: sides.server })
  const serverFirst = server.firstMessage(Buffer.from(client.firstMessage()))
  const clientFinal = await client.finalMessage(Buffer.from(serverFirst))
  const serverFinal = server.finalMessage(Buffer.from(clientFinal))
  if (serverFinal === undefined) throw new Error('the proof is wrong')
  client.verify(Buffer.from(serverFinal))
  return client.mechanism
}

function refusal(sqlState: string, message: RegExp): unknown {
  return expect.objectContaining({ sqlState, message: expect.stringMatching(message) })
}

describe('client and server', () => {
  test('bind the channel where both have TLS', async () => {
    expect(await play({ client: BINDING, server: BINDING, plusOffered: true })).toBe(PLUS)
  })

  test('bind nothing without TLS', async () => {
    expect(await play({ plusOffered: false })).toBe(PLAIN)
  })

  test('bind nothing where the server has TLS but cannot bind it', async () => {
    expect(await play({ client: BINDING, plusOffered: false })).toBe(PLAIN)
  })

  test('do without where the client cannot bind', async () => {
    expect(await play({ server: BINDING, plusOffered: true })).toBe(PLAIN)
  })

  test('notice that they are at the ends of two TLS connections', async () => {
    const login = play({ client: BINDING, server: OTHER_BINDING, plusOffered: true })
    await expect(login).rejects.toEqual(refusal('28000', /^SCRAM channel binding check failed$/))
  })

  test('notice that somebody took SCRAM-SHA-256-PLUS out of the offer', async () => {
    const login = play({ client: BINDING, server: BINDING, plusOffered: false })
    await expect(login).rejects.toEqual(refusal('28000', /^SCRAM channel binding negotiation error$/))
  })

  test('notice that somebody put SCRAM-SHA-256-PLUS into the offer', async () => {
    const login = play({ client: BINDING, plusOffered: true })
    await expect(login).rejects.toEqual(refusal('08P01', /channel binding was not offered/))
  })
})

describe('the server', () => {
  const first = (flag: string) => Buffer.from(`${flag},,n=,r=abc`)

  test.each([
    ['p= with another type', PLUS, 'p=tls-unique', /type of channel binding is not supported/],
    ['p= with an empty type', PLUS, 'p=', /type of channel binding is not supported/],
    ['p= where the client chose SCRAM-SHA-256', PLAIN, 'p=tls-server-end-point', /without it/],
    ['n where the client chose SCRAM-SHA-256-PLUS', PLUS, 'n', /no channel binding, but/],
    ['y where the client chose SCRAM-SHA-256-PLUS', PLUS, 'y', /no channel binding, but/],
  ])('refuses %s', (_what, mechanism, flag, message) => {
    const server = new ScramServer(verifier, { mechanism, channelBinding: BINDING })
    expect(() => server.firstMessage(first(flag))).toThrow(refusal('08P01', message) as Error)
  })

  test('refuses a binding that is longer than its own, or left away', () => {
    for (const binding of [Buffer.concat([BINDING, Buffer.from([0])]), Buffer.alloc(0)]) {
      const server = new ScramServer(verifier, { mechanism: PLUS, channelBinding: BINDING, serverNonce: 'x' })
      server.firstMessage(first('p=tls-server-end-point'))
      const input = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), binding]).toString('base64')
      const clientFinal = Buffer.from(`c=${input},r=abcx,p=${Buffer.alloc(32).toString('base64')}`)
      expect(() => server.finalMessage(clientFinal)).toThrow(refusal('28000', /check failed/) as Error)
    }
  })

  test('knows the key of a client after its proof, and not before or after a wrong one', async () => {
    const keys = await secret.scramKeys(verifier.salt, verifier.iterations)
    for (const [password, key] of [
      ['pencil', keys.clientKey],
      ['pencils', undefined],
    ] as const) {
      const server = new ScramServer(verifier)
      const client = new ScramClient(new PlainSecret(password))
      const serverFirst = server.firstMessage(Buffer.from(client.firstMessage()))
      expect(server.clientKey).toBeUndefined()
      server.finalMessage(Buffer.from(await client.finalMessage(Buffer.from(serverFirst))))
      expect(server.clientKey).toEqual(key)
    }
  })
})

describe('the login to a server', () => {
  async function firstMessage(mechanisms: readonly string[], channelBinding?: Buffer): Promise<string> {
    const exchange = new ServerExchange({ user: 'alice', secret, channelBinding })
    const request = encodeAuthenticationSasl(mechanisms)
    const step = await exchange.onAuthentication(request, 5, request.length)
    if (step.kind === 'send') return step.message.toString('latin1', 5)
    return step.kind === 'failed' ? step.error.message : step.kind
  }

  test('chooses SCRAM-SHA-256-PLUS where it is offered over TLS', async () => {
    expect(await firstMessage([PLUS, PLAIN], BINDING)).toMatch(
      /^SCRAM-SHA-256-PLUS\0.{4}p=tls-server-end-point,,n=,r=/s,
    )
  })

  test('says y where it is not offered over TLS', async () => {
    expect(await firstMessage([PLAIN], BINDING)).toMatch(/^SCRAM-SHA-256\0.{4}y,,n=,r=/s)
  })

  test('says n without TLS', async () => {
    expect(await firstMessage([PLUS, PLAIN])).toMatch(/^SCRAM-SHA-256\0.{4}n,,n=,r=/s)
  })

  test('fails where only SCRAM-SHA-256-PLUS is offered and there is no TLS', async () => {
    expect(await firstMessage([PLUS])).toMatch(/SASL mechanism other than SCRAM-SHA-256/)
  })
})
