import { describe, expect, test } from 'vitest'
import { letters, ofType } from '../support/backend-message.ts'
import * as f from '../support/frontend-messages.ts'
import { pooledDatabase } from '../support/pooled-database.ts'
import { RawClient } from '../support/raw-client.ts'

/**
 * A bank whose clients vanish at random points of their transfers: money is neither made nor lost, no lock stays,
 * and a transfer that was confirmed is in the books.
 */

const POOL_SIZE = 3
const ACCOUNTS = 8
const CLIENTS = 12
const TRANSFERS = 25
const place = pooledDatabase(POOL_SIZE)

/** A small linear congruential generator: the same story every time, so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** The messages of one transfer, one element per segment that is sent. Accounts are locked in order of their ids. */
function transfer(from: number, to: number, id: string, pick: (below: number) => number): Buffer[] {
  const change = (account: number, by: number) =>
    `UPDATE accounts SET balance = balance + ${by} WHERE id = ${account}`
  const steps = [change(from, -1), change(to, 1)]
  if (from > to) steps.reverse()
  const log = `INSERT INTO transfers VALUES ('${id}')`
  switch (pick(3)) {
    case 0:
      return ['BEGIN', ...steps, log, 'COMMIT'].map((text) => f.query(text))
    case 1:
      return ['BEGIN', ...steps, log, 'COMMIT'].map((text) => Buffer.concat([f.extended(text), f.sync()]))
    default:
      return [Buffer.concat([...[...steps, log].map((text) => f.extended(text)), f.sync()])]
  }
}

describe('a bank', () => {
  test('keeps its books while clients vanish in the middle of transfers', async () => {
    await place.ready.direct(`CREATE TABLE accounts AS SELECT n AS id, 100 AS balance FROM generate_series(1, ${ACCOUNTS}) n;
      CREATE TABLE transfers (id text PRIMARY KEY)`)
    const { host, port, database } = place.ready
    const confirmed: string[] = []
    const errors: string[] = []

    async function teller(number: number): Promise<void> {
      const pick = generator(number)
      let client = await RawClient.connect({ host, port, database })
      for (let turn = 0; turn < TRANSFERS; turn += 1) {
        const id = `${number}/${turn}`
        const from = 1 + pick(ACCOUNTS)
        const to = 1 + ((from + pick(ACCOUNTS - 1)) % ACCOUNTS)
        const segments = transfer(from, to, id, pick)
        const vanishAt = pick(4) === 0 ? pick(segments.length) : segments.length
        for (const segment of segments.slice(0, vanishAt)) {
          const reply = await client.roundTrip(segment)
          errors.push(...ofType(reply, 'E').map(({ code, text }) => `${code} ${text}`))
        }
        if (vanishAt === segments.length) {
          confirmed.push(id)
          continue
        }
        const last = segments[vanishAt] as Buffer
        client.send(last.subarray(0, pick(last.length + 1)))
        if (pick(2) === 0) client.reset()
        else client.destroy()
        client = await RawClient.connect({ host, port, database })
      }
      client.end()
    }

    const work = Promise.all(Array.from({ length: CLIENTS }, (_, number) => teller(number)))
    expect(await place.ready.watchServers(work)).toBeLessThanOrEqual(POOL_SIZE)
    expect(errors).toEqual([])
    await place.ready.settled()

    const [books] = await place.ready.direct('SELECT sum(balance)::int AS sum FROM accounts')
    expect(books).toEqual({ sum: ACCOUNTS * 100 })
    const written = new Set((await place.ready.direct('SELECT id FROM transfers')).map((row) => row.id))
    expect(
      confirmed.filter((id) => !written.has(id)),
      'confirmed but lost',
    ).toEqual([])
    const [locks] = await place.ready.direct(
      `SELECT count(*)::int AS count FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'transactionid' AND datname = current_database() AND pid <> pg_backend_pid()`,
    )
    expect(locks).toEqual({ count: 0 })
    const last = await RawClient.connect({ host, port, database })
    expect(letters(await last.query('SELECT 1'))).toBe('TDCZ')
    last.end()
  })
})
