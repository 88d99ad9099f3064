import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { PlainSecret, parseSecret } from '../../../src/auth/user-secret.ts'

const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371'
const SCRAM = formatScramVerifier(await makeScramVerifier('pencil'))

describe('the form of a text tells its kind', () => {
  test.each([
    ['plain', 'secret'],
    ['plain', ''],
    ['plain', 'md5isbad'],
    ['plain', MD5.toUpperCase()],
    ['plain', `${MD5}0`],
    ['plain', 'SCRAM-SHA-1$4096:a$b:c'],
    ['md5', MD5],
    ['scram', SCRAM],
  ])('%s: %s', (kind, text) => {
    expect(parseSecret(text).kind).toBe(kind)
  })
})

test('a damaged SCRAM secret is refused without being quoted', () => {
  const damaged = SCRAM.slice(0, -5)
  expect(() => parseSecret(damaged)).toThrow(
    expect.objectContaining({
      sqlState: 'F0000',
      message: expect.not.stringContaining(damaged.split('$')[2] as string),
    }),
  )
})

test('a password with a NUL byte is refused', () => {
  expect(() => parseSecret('a\0b')).toThrow(/NUL/)
})

describe('no secret prints itself', () => {
  const secrets = [parseSecret('topsecret'), parseSecret(MD5), parseSecret(SCRAM)]

  test.each(secrets.map((secret) => [secret.kind, secret] as const))('%s', (_kind, secret) => {
    const printed = [
      inspect(secret, { showHidden: true, depth: 9 }),
      inspect({ nested: { secret } }, { depth: 9 }),
      JSON.stringify({ secret }),
      `${secret}`,
    ].join()
    expect(printed).toContain('[secret]')
    for (const part of ['topsecret', MD5.slice(3), ...SCRAM.split(/[$:]/).slice(2)]) {
      expect(printed).not.toContain(part)
    }
  })
})

describe('keys are derived once per secret', () => {
  test('the verifier of a plain secret stays the same', async () => {
    const secret = new PlainSecret('pencil')
    expect(await secret.scramVerifier()).toBe(await secret.scramVerifier())
  })

  test('logins at the same time share one derivation', () => {
    const secret = new PlainSecret('pencil')
    const salt = Buffer.from('salt')
    expect(secret.scramKeys(salt, 1)).toBe(secret.scramKeys(Buffer.from('salt'), 1))
  })

  test('another salt or iteration count gives other keys', async () => {
    const secret = new PlainSecret('pencil')
    const keys = await secret.scramKeys(Buffer.from('salt'), 1)
    expect(await secret.scramKeys(Buffer.from('salt'), 2)).not.toEqual(keys)
    expect(await secret.scramKeys(Buffer.from('tlas'), 1)).not.toEqual(keys)
  })

  test('a server that sends ever new salts does not fill the memory: the oldest keys go', async () => {
    const secret = new PlainSecret('pencil')
    const salts = Array.from({ length: 9 }, (_, index) => Buffer.from([index]))
    const [first] = salts.map((salt) => secret.scramKeys(salt, 1))
    expect(secret.scramKeys(salts[0] as Buffer, 1)).not.toBe(first)
    expect(await secret.scramKeys(salts[0] as Buffer, 1)).toEqual(await first)
  })
})
