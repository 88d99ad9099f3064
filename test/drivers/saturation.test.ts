import { describe, expect, test } from 'vitest'
import { ofType, rows } from '../support/backend-message.ts'
import * as f from '../support/frontend-messages.ts'
import { pooledDatabase } from '../support/pooled-database.ts'
import { RawClient } from '../support/raw-client.ts'

/** A hundred clients over five servers, in all three query protocols at once: everybody gets its own answers. */

const POOL_SIZE = 5
const CLIENTS = 100
const TURNS = 15
const place = pooledDatabase(POOL_SIZE)

type Ask = (client: RawClient, value: string, turn: number) => Promise<(string | null)[][]>

const PROTOCOLS: Readonly<Record<string, Ask>> = {
  simple: async (client, value) => rows(await client.query(`SELECT '${value}'`)),
  extended: async (client, value) =>
    rows(await client.roundTrip(f.extended('SELECT $1::text', [value]), f.sync())),
  prepared: async (client, value, turn) => {
    const prepare = turn === 0 ? [f.parse('mine', 'SELECT $1::text')] : []
    return rows(await client.roundTrip(...prepare, f.run('mine', [value]), f.sync()))
  },
  transaction: async (client, value) => {
    await client.query('BEGIN')
    const answer = rows(await client.roundTrip(f.extended('SELECT $1::text', [value]), f.sync()))
    await client.query('COMMIT')
    return answer
  },
  pipeline: async (client, value) => {
    client.send(f.extended('SELECT $1::text', [value]), f.sync(), f.query('SELECT 1/0'), f.query('SELECT 2'))
    const reply = await client.receiveReplies(3)
    expect(ofType(reply, 'E').map(({ code }) => code)).toEqual(['22012'])
    return rows(reply).slice(0, 1)
  },
}

describe('a hundred clients over five servers', () => {
  test('get their own answers in every protocol, and the pool keeps its size', async () => {
    const { host, port, database } = place.ready
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => RawClient.connect({ host, port, database })),
    )
    const asks = Object.values(PROTOCOLS)
    const wrong: string[] = []
    const work = Promise.all(
      clients.map(async (client, index) => {
        const ask = asks[index % asks.length] as Ask
        for (let turn = 0; turn < TURNS; turn += 1) {
          const value = `${index}/${turn}`
          const answer = await ask(client, value, turn)
          if (answer.length !== 1 || answer[0]?.[0] !== value)
            wrong.push(`${value}: ${JSON.stringify(answer)}`)
        }
      }),
    )
    const largest = await place.ready.watchServers(work)
    expect(wrong).toEqual([])
    expect(largest).toBeLessThanOrEqual(POOL_SIZE)
    for (const client of clients) client.end()
    await place.ready.settled()
  })
})
