import { afterEach, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** prepare_unnamed is switched on and off: for everybody, for a database, for a user, while clients are connected. */

let pooler: TestPooler
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
})

const server = () => sharedPostgres()
const place = () => {
  const { host, port, database } = server()
  return { host, port, dbname: database }
}
const own = () => ({ password: server().password })

async function start(sections: ConfigInput): Promise<void> {
  pooler = await startPooler({
    server: server(),
    ...sections,
    pooler: { default_pool_size: 1, ...sections.pooler },
    databases: { one: place(), two: place(), ...sections.databases },
  })
}

async function connect(database = 'one'): Promise<RawClient> {
  const { host, port } = pooler
  const client = await RawClient.connect({ host, port, database, user: 'postgres' })
  clients.push(client)
  return client
}

const on = { pooler: { prepare_unnamed: true } }
const off = { pooler: { prepare_unnamed: false } }
const BATCH = [f.parse('', "SELECT 'mine'"), f.bind(), f.execute(), f.sync()]

/** How many of three executions of an unnamed text needed no Parse at the server. */
async function saved(client: RawClient): Promise<number> {
  const before = pooler.stats.unnamedReuses
  for (let i = 0; i < 3; i++) expect(letters(await client.roundTrip(...BATCH))).toBe('12DCZ')
  return pooler.stats.unnamedReuses - before
}

describe('a reload', () => {
  test('switches it on and off and on again for clients that are connected', async () => {
    await start(off)
    const client = await connect()
    expect(await saved(client)).toBe(0)
    await pooler.reload(on)
    expect(await saved(client)).toBe(1)
    await pooler.reload(off)
    expect(await saved(client)).toBe(0)
    await pooler.reload(on)
    expect(await saved(client)).toBe(3)
  })

  for (const [name, before, after] of [
    ['off', on, off],
    ['on', off, on],
  ] as const) {
    for (const described of [false, true]) {
      const story = `that switches it ${name} leaves an unnamed statement alive${described ? ' that was described' : ''}`
      test(`${story}, also on a server that another client has used`, async () => {
        await start(before)
        const client = await connect()
        const other = await connect()
        await saved(client)
        const describes = described ? [f.describeMessage('S', '')] : []
        await client.roundTrip(f.parse('', "SELECT 'mine'"), ...describes, f.sync())
        await pooler.reload(after)
        await other.roundTrip(f.parse('', "SELECT 'other'"), f.sync())
        for (let i = 0; i < 2; i++) {
          const reply = await client.roundTrip(f.bind(), f.execute(), f.sync())
          expect(letters(reply)).toBe('2DCZ')
          expect(rows(reply)).toEqual([['mine']])
        }
        expect(rows(await other.roundTrip(f.bind(), f.execute(), f.sync()))).toEqual([['other']])
      })
    }
  }

  test('in the middle of a batch changes nothing for it', async () => {
    await start(on)
    const client = await connect()
    await saved(client)
    client.send(f.parse('', "SELECT 'mine'"), f.flush())
    await client.receiveUntil('1')
    await pooler.reload(off)
    expect(letters(await client.roundTrip(f.bind(), f.execute(), f.sync()))).toBe('2DCZ')
    client.send(f.parse('', "SELECT 'mine'"), f.bind())
    await pooler.reload(on)
    expect(letters(await client.roundTrip(f.execute(), f.sync()))).toBe('12DCZ')
  })
})

test('a database can have it off, or alone have it on', async () => {
  await start({ ...on, databases: { one: { ...place(), prepare_unnamed: false }, two: place() } })
  expect(await saved(await connect('one'))).toBe(0)
  expect(await saved(await connect('two'))).toBe(1)
  await pooler.reload({ ...off, databases: { one: { ...place(), prepare_unnamed: true } } })
  expect(await saved(await connect('one'))).toBeGreaterThan(0)
  expect(await saved(await connect('two'))).toBe(0)
})

test('a user can have it off where its database has it on, and the other way round', async () => {
  await start({
    databases: { one: { ...place(), prepare_unnamed: true } },
    users: { postgres: { ...own(), prepare_unnamed: false } },
  })
  expect(await saved(await connect('one'))).toBe(0)
  await pooler.reload({
    databases: { one: { ...place(), prepare_unnamed: false } },
    users: { postgres: { ...own(), prepare_unnamed: true } },
  })
  expect(await saved(await connect('one'))).toBe(1)
})
