import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { AbandonedQuestion, AuthQueryCache } from '../../../src/auth/auth-query-cache.ts'
import { Credentials } from '../../../src/auth/credentials.ts'
import { formatScramVerifier, makeScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { parseSecret, type UserSecret } from '../../../src/auth/user-secret.ts'

const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371'
const SCRAM = formatScramVerifier(await makeScramVerifier('pencil'))
const OTHER_SCRAM = formatScramVerifier(await makeScramVerifier('pen'))

/** What PostgreSQL would say, how often it was asked, and a cache in front of it. */
function stage({ ttlMs = 60_000, recheckMs = 1000 } = {}) {
  const stored = new Map<string, string | null>([['alice', SCRAM]])
  const asked: string[] = []
  let trouble: Error | undefined
  /** How long PostgreSQL takes for an answer. */
  let slowMs = 0
  const cache = new AuthQueryCache({
    ttlMs,
    recheckMs,
    sourceOf: (database) => (database === 'nowhere' ? undefined : database.replace(/\d/, '')),
    fetch: async (user, database, stillWanted) => {
      asked.push(`${user}@${database}`)
      if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs))
      await Promise.resolve()
      if (!stillWanted()) throw new AbandonedQuestion()
      if (trouble !== undefined) throw trouble
      return stored.get(user)
    },
  })
  const fail = (error: Error | undefined) => {
    trouble = error
  }
  const delay = (ms: number) => {
    slowMs = ms
  }
  return { cache, stored, asked, fail, delay }
}

function secretOf(secret: UserSecret | undefined | Promise<UserSecret | undefined>): UserSecret {
  if (secret === undefined || secret instanceof Promise) throw new Error('not in the cache')
  return secret
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('lookup', () => {
  test('asks once for fifty logins at once, and then answers without a promise', async () => {
    const { cache, asked } = stage()
    const secrets = await Promise.all(Array.from({ length: 50 }, () => cache.lookup('alice', 'app')))
    expect(new Set(secrets).size).toBe(1)
    expect(asked).toEqual(['alice@app'])
    expect(secretOf(cache.lookup('alice', 'app'))).toBe(secrets[0])
  })

  test('shares answers between databases with the same source, and only between them', async () => {
    const { cache, asked } = stage()
    await cache.lookup('alice', 'app1')
    await cache.lookup('alice', 'app2')
    await cache.lookup('alice', 'web')
    expect(asked).toEqual(['alice@app1', 'alice@web'])
  })

  test('knows nobody where there is no source', () => {
    const { cache, asked } = stage()
    expect(cache.lookup('alice', 'nowhere')).toBeUndefined()
    expect(asked).toEqual([])
  })

  test('asks again after the time to live, and keeps the object of an unchanged secret', async () => {
    const { cache, asked } = stage()
    const before = await cache.lookup('alice', 'app')
    vi.advanceTimersByTime(999)
    expect(cache.lookup('alice', 'app')).toBe(before)
    vi.advanceTimersByTime(60_000)
    expect(await cache.lookup('alice', 'app')).toBe(before)
    expect(asked.length).toBe(2)
  })

  test('asks at every login where the time to live is 0', async () => {
    const { cache, asked } = stage({ ttlMs: 0 })
    for (const user of ['alice', 'alice', 'eve', 'eve']) await cache.lookup(user, 'app')
    expect(asked.length).toBe(4)
  })

  test('remembers unknown users and those who may not log in as long as others, but no longer than two seconds', async () => {
    const short = stage()
    await short.cache.lookup('eve', 'app')
    vi.advanceTimersByTime(999)
    expect(short.cache.lookup('eve', 'app')).toBeUndefined()
    vi.advanceTimersByTime(1)
    expect(short.cache.lookup('eve', 'app')).toBeInstanceOf(Promise)
  })

  test('remembers them for two seconds where others are rechecked more seldom', async () => {
    const { cache, stored, asked } = stage({ recheckMs: 60_000 })
    stored.set('expired', null)
    for (const user of ['eve', 'expired']) {
      expect(await cache.lookup(user, 'app')).toBeUndefined()
      expect(cache.lookup(user, 'app')).toBeUndefined()
      vi.advanceTimersByTime(2000)
      stored.set(user, MD5)
      expect((await cache.lookup(user, 'app'))?.kind).toBe('md5')
    }
    expect(asked.length).toBe(4)
  })

  test('forgets a user who was removed', async () => {
    const { cache, stored } = stage()
    await cache.lookup('alice', 'app')
    stored.delete('alice')
    vi.advanceTimersByTime(60_000)
    expect(await cache.lookup('alice', 'app')).toBeUndefined()
    expect(cache.peek('alice', 'app')).toBeUndefined()
  })

  test('fails without telling why, and asks again at the next login', async () => {
    const { cache, fail } = stage()
    const cause = new Error('permission denied for table pg_authid')
    fail(cause)
    await expect(cache.lookup('alice', 'app')).rejects.toMatchObject({
      sqlState: '57P03',
      message: 'the pooler cannot look up users at the moment',
      cause,
    })
    fail(undefined)
    expect((await cache.lookup('alice', 'app'))?.kind).toBe('scram')
  })

  test('fails for a damaged secret without quoting it', async () => {
    const { cache, stored } = stage()
    stored.set('alice', 'SCRAM-SHA-256$topsecret')
    const error: unknown = await Promise.resolve(cache.lookup('alice', 'app')).catch((e: unknown) => e)
    expect(error).toMatchObject({ sqlState: '57P03', cause: { sqlState: 'F0000' } })
    expect(inspect(error)).not.toContain('topsecret')
  })
})

describe('an answer that is older than auth_query_recheck', () => {
  test('is asked for anew by the next login, which has a changed password at its first attempt', async () => {
    const { cache, stored, asked } = stage()
    const before = await cache.lookup('alice', 'app')
    stored.set('alice', OTHER_SCRAM)
    vi.advanceTimersByTime(999)
    expect(cache.lookup('alice', 'app')).toBe(before)
    vi.advanceTimersByTime(1)
    const logins = await Promise.all(Array.from({ length: 50 }, () => cache.lookup('alice', 'app')))
    expect(new Set(logins).size).toBe(1)
    expect(logins[0]).not.toBe(before)
    expect(secretOf(cache.lookup('alice', 'app'))).toBe(logins[0])
    expect(asked.length).toBe(2)
  })

  test('lets a removed user in no more', async () => {
    const { cache, stored } = stage()
    await cache.lookup('alice', 'app')
    stored.delete('alice')
    vi.advanceTimersByTime(1000)
    expect(await cache.lookup('alice', 'app')).toBeUndefined()
  })

  test('is good until auth_query_ttl where PostgreSQL cannot be asked, which is tried once in that time', async () => {
    const { cache, asked, fail } = stage()
    const before = await cache.lookup('alice', 'app')
    fail(new Error('connection refused'))
    vi.advanceTimersByTime(1000)
    expect(await cache.lookup('alice', 'app')).toBe(before)
    expect(cache.lookup('alice', 'app')).toBe(before)
    expect(asked.length).toBe(2)
    vi.advanceTimersByTime(59_000)
    await expect(cache.lookup('alice', 'app')).rejects.toMatchObject({ sqlState: '57P03' })
  })

  test('is good where PostgreSQL takes longer than half a second; who comes later does not wait at all', async () => {
    const { cache, asked, delay } = stage()
    const before = await cache.lookup('alice', 'app')
    delay(10_000)
    vi.advanceTimersByTime(1000)
    const login = cache.lookup('alice', 'app')
    expect(login).toBeInstanceOf(Promise)
    await vi.advanceTimersByTimeAsync(500)
    expect(await login).toBe(before)
    expect(cache.lookup('alice', 'app')).toBe(before)
    expect(asked.length).toBe(2)
  })

  test('is used as before where auth_query_recheck is as long as auth_query_ttl', async () => {
    const { cache, asked } = stage({ recheckMs: 60_000 })
    const before = await cache.lookup('alice', 'app')
    vi.advanceTimersByTime(59_999)
    expect(cache.lookup('alice', 'app')).toBe(before)
    expect(asked.length).toBe(1)
  })
})

describe('clients that hang up', () => {
  test('leave a question that nobody is interested in, and the next one asks again', async () => {
    const { cache, asked, delay } = stage()
    delay(100)
    const gone = Promise.resolve(cache.lookup('alice', 'app', () => false)).catch((e: unknown) => e)
    await vi.advanceTimersByTimeAsync(100)
    expect(await gone).toMatchObject({ sqlState: '57P03' })
    const login = cache.lookup('alice', 'app')
    await vi.advanceTimersByTimeAsync(100)
    expect((await login)?.kind).toBe('scram')
    expect(asked.length).toBe(2)
  })

  test('do not take the answer from others who ask for the same user', async () => {
    const { cache, delay } = stage()
    delay(100)
    const honest = cache.lookup('alice', 'app')
    for (let n = 0; n < 500; n++) void cache.lookup('alice', 'app', () => false)
    await vi.advanceTimersByTimeAsync(100)
    expect((await honest)?.kind).toBe('scram')
  })

  test('do not fill the memory while PostgreSQL is slow: ten thousand may wait', async () => {
    const { cache, delay } = stage()
    delay(100)
    const waiting = Array.from({ length: 10_000 }, (_, n) => cache.lookup(`stranger ${n % 100}`, 'app'))
    await expect(cache.lookup('alice', 'app')).rejects.toMatchObject({ sqlState: '57P03' })
    await vi.advanceTimersByTimeAsync(100)
    await Promise.all(waiting)
    const login = cache.lookup('alice', 'app')
    await vi.advanceTimersByTimeAsync(100)
    expect((await login)?.kind).toBe('scram')
  })
})

describe('refresh', () => {
  test('brings a changed password in within a second, with one query for many failures', async () => {
    const { cache, stored, asked } = stage()
    const before = await cache.lookup('alice', 'app')
    stored.set('alice', OTHER_SCRAM)
    const refreshes = Array.from({ length: 20 }, () => cache.refresh('alice', 'app'))
    await vi.advanceTimersByTimeAsync(1000)
    const [after] = await Promise.all(refreshes)
    expect(after).not.toBe(before)
    expect(secretOf(cache.lookup('alice', 'app'))).toBe(after)
    expect(asked.length).toBe(2)
  })

  test('asks at once where the last query is a second old', async () => {
    const { cache, stored } = stage()
    await cache.lookup('alice', 'app')
    vi.advanceTimersByTime(1000)
    stored.set('alice', MD5)
    expect((await cache.refresh('alice', 'app'))?.kind).toBe('md5')
  })

  test('does not ask for names that are not known', async () => {
    const { cache, asked } = stage()
    expect(await cache.refresh('eve', 'app')).toBeUndefined()
    expect(await cache.refresh('alice', 'nowhere')).toBeUndefined()
    expect(asked).toEqual([])
  })

  test('keeps what it has while PostgreSQL cannot be asked', async () => {
    const { cache, fail } = stage()
    const before = await cache.lookup('alice', 'app')
    fail(new Error('connection refused'))
    vi.advanceTimersByTime(1000)
    expect(await cache.refresh('alice', 'app')).toBe(before)
  })
})

describe('credentials with auth_query', () => {
  test('ask for users of no file alone', async () => {
    const { cache, asked } = stage()
    const credentials = new Credentials(new Map([['bob', 'secret']]), new Map(), cache)
    expect(secretOf(credentials.lookup('bob', 'app')).kind).toBe('plain')
    expect((await credentials.lookup('alice', 'app'))?.kind).toBe('scram')
    expect((await credentials.refresh('bob', 'app'))?.kind).toBe('plain')
    expect(asked).toEqual(['alice@app'])
    expect(credentials.isEmpty).toBe(false)
    expect(credentials.find('alice')).toBeUndefined()
  })

  test('log in to servers with an old answer, to which the learnt keys belong', async () => {
    const { cache, stored } = stage()
    const credentials = new Credentials(new Map(), new Map(), cache)
    const before = await credentials.lookup('alice', 'app')
    stored.set('alice', OTHER_SCRAM)
    vi.advanceTimersByTime(60_000)
    expect(credentials.serverSecret('alice', 'app')).toBe(before)
  })

  test('without auth_query know the users of the files', async () => {
    const credentials = new Credentials(new Map(), new Map([['bob', parseSecret(MD5)]]))
    expect(secretOf(credentials.lookup('bob', 'app')).kind).toBe('md5')
    expect(credentials.lookup('eve', 'app')).toBeUndefined()
    expect(credentials.serverSecret('eve', 'app')).toBeUndefined()
    expect(await credentials.refresh('eve', 'app')).toBeUndefined()
  })

  test('do not print what the query said', async () => {
    const { cache, stored } = stage()
    stored.set('alice', 'topsecret')
    await cache.lookup('alice', 'app')
    expect(inspect(cache, { showHidden: true, depth: 9 }) + JSON.stringify(cache)).not.toContain('topsecret')
  })
})
