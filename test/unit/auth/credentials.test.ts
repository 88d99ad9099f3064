import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { Credentials } from '../../../src/auth/credentials.ts'
import { parseSecret } from '../../../src/auth/user-secret.ts'

const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371'

describe('credentials', () => {
  test('find users of the configuration and of the userlist', () => {
    const credentials = new Credentials(new Map([['alice', 'secret']]), new Map([['bob', parseSecret(MD5)]]))
    expect(credentials.find('alice')?.kind).toBe('plain')
    expect(credentials.find('bob')?.kind).toBe('md5')
    expect(credentials.find('eve')).toBeUndefined()
  })

  test('prefer the configuration to the userlist', () => {
    const credentials = new Credentials(
      new Map([['alice', 'secret']]),
      new Map([['alice', parseSecret(MD5)]]),
    )
    expect(credentials.find('alice')?.kind).toBe('plain')
  })

  test('know users who are called like properties of objects no better than others', () => {
    expect(new Credentials(new Map()).find('__proto__')).toBeUndefined()
  })

  test('tell whether there is any user', () => {
    expect(new Credentials(new Map()).isEmpty).toBe(true)
    expect(new Credentials(new Map([['alice', '']])).isEmpty).toBe(false)
    expect(new Credentials(new Map([['alice', undefined]])).isEmpty).toBe(true)
  })

  test('know a user without a secret by name', () => {
    const credentials = new Credentials(new Map([['alice', undefined]]), new Map([['bob', parseSecret(MD5)]]))
    expect(credentials.find('alice')).toBeUndefined()
    expect(['alice', 'bob', 'eve'].map((user) => credentials.knowsByName(user))).toEqual([true, false, false])
  })

  test('name the user whose secret is malformed, and not the secret', () => {
    const users = new Map([['alice', 'SCRAM-SHA-256$topsecret']])
    expect(() => new Credentials(users)).toThrow(/^users\.alice\.password: (?!.*topsecret)/)
  })

  test('do not print secrets', () => {
    const credentials = new Credentials(new Map([['alice', 'topsecret']]))
    const printed = inspect(credentials, { showHidden: true, depth: 9 }) + JSON.stringify(credentials)
    expect(printed).not.toContain('topsecret')
  })
})
