import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Logger } from '../../../src/log.ts'
import { FakeDns } from '../../support/fake-dns.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

/** A log that keeps its messages. */
function noting(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const note = (_fields: unknown, message: string) => lines.push(message)
  return { log: { info: note, warn: note } as unknown as Logger, lines }
}

/** A promise and what ends it. */
function gate(): { closed: Promise<void>; open: () => void } {
  let open!: () => void
  const closed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { closed, open }
}

test('an answer is kept for dns_max_ttl, and then asked for anew', async () => {
  const dns = new FakeDns({ answerMs: 5000 })
  dns.answers.set('db', ['10.0.0.1', '10.0.0.2'])
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1', '10.0.0.2'])
  dns.answers.set('db', ['10.0.0.3'])
  vi.advanceTimersByTime(4999)
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1', '10.0.0.2'])
  vi.advanceTimersByTime(1)
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.3'])
  expect(dns.questions).toEqual(['db', 'db'])
})

test('many who want to know at once make one question', async () => {
  const dns = new FakeDns()
  dns.answers.set('db', ['10.0.0.1'])
  await Promise.all(Array.from({ length: 20 }, () => dns.cache.resolve('db')))
  expect(dns.questions).toEqual(['db'])
})

test('a name that does not exist is asked for again after dns_nxdomain_ttl only', async () => {
  const dns = new FakeDns({ failureMs: 5000 })
  await expect(dns.cache.resolve('db')).rejects.toThrow('getaddrinfo ENOTFOUND db')
  dns.answers.set('db', ['10.0.0.1'])
  vi.advanceTimersByTime(4999)
  await expect(dns.cache.resolve('db')).rejects.toThrow('getaddrinfo ENOTFOUND db')
  expect(dns.questions).toEqual(['db'])
  vi.advanceTimersByTime(1)
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1'])
})

test('without an answer the last one counts, and the trouble is logged once', async () => {
  const { log, lines } = noting()
  const dns = new FakeDns({ answerMs: 1000, failureMs: 1000 }, log)
  dns.answers.set('db', ['10.0.0.1'])
  await dns.cache.resolve('db')
  dns.answers.delete('db')
  for (let i = 0; i < 5; i += 1) {
    vi.advanceTimersByTime(1000)
    expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1'])
    await nextTurn()
  }
  expect(dns.questions).toHaveLength(6)
  expect(lines).toEqual(['host name cannot be looked up'])
  dns.answers.set('db', ['10.0.0.2'])
  vi.advanceTimersByTime(1000)
  dns.cache.refresh('db')
  await nextTurn()
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.2'])
  expect(lines.slice(1)).toEqual(['host name has other addresses', 'host name can be looked up again'])
})

test('an empty answer is no answer', async () => {
  const dns = new FakeDns({ answerMs: 0 })
  dns.answers.set('db', ['10.0.0.1'])
  await dns.cache.resolve('db')
  dns.answers.set('db', [])
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1'])
})

test('who has an old answer does not wait long for a new one', async () => {
  const dns = new FakeDns({ answerMs: 1000 })
  dns.answers.set('db', ['10.0.0.1'])
  await dns.cache.resolve('db')
  vi.advanceTimersByTime(1000)
  const { closed, open } = gate()
  dns.delay = closed
  dns.answers.set('db', ['10.0.0.2'])
  const resolved = dns.cache.resolve('db')
  vi.advanceTimersByTime(500)
  expect(await resolved).toEqual(['10.0.0.1'])
  open()
  await nextTurn()
  expect(dns.cache.known('db')).toEqual(['10.0.0.2'])
})

test('addresses keep their order however DNS shuffles them', async () => {
  const dns = new FakeDns({ answerMs: 0 })
  dns.answers.set('db', ['10.0.0.1', '10.0.0.2', '10.0.0.1'])
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1', '10.0.0.2'])
  dns.answers.set('db', ['10.0.0.3', '10.0.0.2', '10.0.0.1'])
  expect(await dns.cache.resolve('db')).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
})

test('what refresh asks is known later, and is not asked too often', async () => {
  const dns = new FakeDns({ answerMs: 0 })
  dns.answers.set('db', ['10.0.0.1'])
  expect(dns.cache.known('db')).toBeUndefined()
  for (let i = 0; i < 10; i += 1) {
    dns.cache.refresh('db')
    await nextTurn()
  }
  expect(dns.cache.known('db')).toEqual(['10.0.0.1'])
  expect(dns.questions).toEqual(['db'])
  vi.advanceTimersByTime(1000)
  dns.cache.refresh('db')
  expect(dns.questions).toEqual(['db', 'db'])
})
