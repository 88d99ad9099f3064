import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { ScramServer } from '../../../src/auth/scram-server.ts'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { ServerExchange } from '../../../src/auth/server-exchange.ts'
import { PlainSecret, parseSecret, ScramSecret } from '../../../src/auth/user-secret.ts'
import { encodeAuthenticationSasl } from '../../../src/protocol/authentication.ts'

const verifier = await makeScramVerifier('pencil')

/** A client with this password logs in against the secret, which learns its key. */
async function logIn(secret: ScramSecret, password: string): Promise<boolean> {
  const server = new ScramServer(await secret.scramVerifier())
  const client = new ScramClient(new PlainSecret(password))
  const serverFirst = server.firstMessage(Buffer.from(client.firstMessage()))
  server.finalMessage(Buffer.from(await client.finalMessage(Buffer.from(serverFirst))))
  if (server.clientKey !== undefined) secret.learnClientKey(server.clientKey)
  return secret.hasClientKey
}

describe('a SCRAM secret', () => {
  test('can log in to a server with the same verifier once a client has logged in', async () => {
    const secret = new ScramSecret(verifier)
    expect(await logIn(secret, 'pencil')).toBe(true)
    const server = new ScramServer(verifier)
    const pooler = new ScramClient(secret)
    const serverFirst = server.firstMessage(Buffer.from(pooler.firstMessage()))
    const serverFinal = server.finalMessage(Buffer.from(await pooler.finalMessage(Buffer.from(serverFirst))))
    expect(serverFinal).toBeDefined()
    pooler.verify(Buffer.from(serverFinal ?? ''))
  })

  test('learns nothing from a client with a wrong password', async () => {
    expect(await logIn(new ScramSecret(verifier), 'pencils')).toBe(false)
  })

  test('never takes the key of another verifier', async () => {
    const other = await new PlainSecret('pencils').scramKeys(verifier.salt, verifier.iterations)
    expect(() => new ScramSecret(verifier).learnClientKey(other.clientKey)).toThrow(/another verifier/)
  })

  test('sends no proof to a server with another salt or iteration count', async () => {
    const secret = new ScramSecret(verifier)
    await logIn(secret, 'pencil')
    for (const other of [
      { ...verifier, iterations: verifier.iterations + 1 },
      { ...verifier, salt: Buffer.from('another salt') },
    ]) {
      const server = new ScramServer(other)
      const pooler = new ScramClient(secret)
      const serverFirst = Buffer.from(server.firstMessage(Buffer.from(pooler.firstMessage())))
      await expect(pooler.finalMessage(serverFirst)).rejects.toMatchObject({
        sqlState: '28000',
        message: expect.stringContaining('another SCRAM secret'),
      })
    }
  })

  test('that two sections share by text only shares no keys', async () => {
    const text = formatScramVerifier(verifier)
    const [clients, forced] = [parseSecret(text), parseSecret(text)]
    if (clients.kind !== 'scram' || forced.kind !== 'scram') throw new Error('not SCRAM secrets')
    await logIn(clients, 'pencil')
    expect(forced.hasClientKey).toBe(false)
  })

  test('without a key makes the login to a server fail, and the error says why', async () => {
    const exchange = new ServerExchange({ user: 'alice', secret: new ScramSecret(verifier) })
    const request = encodeAuthenticationSasl(['SCRAM-SHA-256'])
    expect(await exchange.onAuthentication(request, 5, request.length)).toMatchObject({
      kind: 'failed',
      error: { sqlState: '28000', message: expect.stringContaining('no client has logged in with it yet') },
    })
  })

  test('prints its keys as little as its verifier', async () => {
    const secret = new ScramSecret(verifier)
    await logIn(secret, 'pencil')
    const printed = inspect({ secret }, { showHidden: true, depth: 9 }) + JSON.stringify({ secret })
    expect(printed).toBe('{ secret: [secret] }{"secret":"[secret]"}')
  })
})
