import { describe, expect, test } from 'vitest'
import { letters, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError, signal } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'

/** PostgreSQL loses single processes: terminated, killed, stopped. Who hears of it, and who does not. */

const scene = faultScene()

const terminate = (pid: number) => scene.postgres.query(`SELECT pg_terminate_backend(${pid})`)

describe('a server terminated with pg_terminate_backend', () => {
  test('while idle is replaced, and nobody notices', async () => {
    const { client, pid } = await scene.inTransaction()
    const other = await scene.connect()
    await client.query('COMMIT')
    await terminate(pid)
    await scene.serversLeft(0)
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    expect(letters(await other.query('SELECT 1'))).toBe('TDCZ')
  })

  test('in a transaction closes its client with the word of PostgreSQL, and nobody else notices', async () => {
    const { client, pid } = await scene.inTransaction()
    const neighbour = await scene.inTransaction()
    const outside = await scene.connect()
    await terminate(pid)
    expect(await onlyError(client)).toMatchObject({ code: '57P01' })
    expect(letters(await neighbour.client.query('SELECT 1; COMMIT'))).toBe('TDCCZ')
    expect(letters(await outside.query('SELECT 1'))).toBe('TDCZ')
  })

  test('in a query closes its client with the word of PostgreSQL, and nobody else notices', async () => {
    const { client, pid } = await scene.inTransaction()
    const neighbour = await scene.inTransaction()
    client.send(f.query('SELECT pg_sleep(60)'))
    await eventually(
      'the query to run',
      () => scene.postgres.query(`SELECT wait_event FROM pg_stat_activity WHERE pid = ${pid}`),
      ([row]) => row?.wait_event === 'PgSleep',
    )
    await terminate(pid)
    expect(await onlyError(client)).toMatchObject({ code: '57P01' })
    expect(letters(await neighbour.client.query('SELECT 1; COMMIT'))).toBe('TDCCZ')
  })

  test('while everybody waits for one is replaced by as many as may be', async () => {
    const held = await Promise.all([scene.inTransaction(), scene.inTransaction(), scene.inTransaction()])
    const waiting = await Promise.all(Array.from({ length: 6 }, () => scene.connect()))
    for (const client of waiting) await scene.waiting(client, 'SELECT pg_backend_pid() FROM pg_sleep(0.05)')
    await Promise.all(held.map(({ pid }) => terminate(pid)))
    for (const { client } of held) expect(await onlyError(client)).toMatchObject({ code: '57P01' })
    const pids = await Promise.all(
      waiting.map(async (client) => rows(await client.receiveUntil('Z'))[0]?.[0]),
    )
    expect(new Set(pids).size).toBe(3)
    expect(scene.pooler.stats.pools).toMatchObject([{ servers: 3, active: 0, waiting: 0 }])
  })
})

describe('a server process that is killed', () => {
  // PostgreSQL ends all other sessions, too, and starts again by itself.
  test('costs every transaction one error, and the clients outside nothing', async () => {
    const { client, pid } = await scene.inTransaction()
    const neighbour = await scene.inTransaction()
    const outside = await scene.connect()
    await outside.query('SELECT 1')
    signal(pid, 'SIGKILL')
    expect(await onlyError(client)).toMatchObject({ code: '08006' })
    expect((await onlyError(neighbour.client)).code).toMatch(/^(08006|57P02)$/)
    await scene.serversLeft(0)
    expect(letters(await outside.query('SELECT 1'))).toBe('TDCZ')
  })

  test('leaves those who wait for a server in their queue until there is one', async () => {
    const held = await Promise.all([scene.inTransaction(), scene.inTransaction(), scene.inTransaction()])
    const waiting = await Promise.all([scene.connect(), scene.connect()])
    for (const client of waiting) await scene.waiting(client, 'SELECT 1')
    signal(held[0]?.pid, 'SIGKILL')
    for (const client of waiting) await client.expect('TDCZ')
    // They may have been quicker than PostgreSQL's end of all sessions, which the next test shall not meet.
    for (const { client } of held) expect((await onlyError(client)).code).toMatch(/^(08006|57P02)$/)
    await eventually(
      'PostgreSQL to be back',
      () => scene.postgres.query('SELECT 1').catch(() => []),
      (rows) => rows.length === 1,
    )
  })
})

describe('a server process that is stopped', () => {
  test('delays its client and nobody else, and goes on where it was', async () => {
    const { client, pid } = await scene.inTransaction()
    const other = await scene.connect()
    signal(pid, 'SIGSTOP')
    try {
      client.send(f.query('SELECT 1'))
      for (let turn = 0; turn < 5; turn += 1) {
        expect(letters(await other.query('SELECT 2'))).toBe('TDCZ')
        expect(await other.value('SELECT pg_backend_pid()')).not.toBe(String(pid))
      }
      expect(client.received.at(-1)).toMatchObject({ type: 'Z', status: 'T' })
    } finally {
      signal(pid, 'SIGCONT')
    }
    await client.expect('TDCZ')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
  })

  test('is terminated with one error for its client', async () => {
    const { client, pid } = await scene.inTransaction()
    signal(pid, 'SIGSTOP')
    client.send(f.query('SELECT 1'))
    signal(pid, 'SIGTERM')
    signal(pid, 'SIGCONT')
    // It may have answered before it saw that it should end.
    expect(await onlyError(client)).toMatchObject({ code: '57P01' })
  })
})
