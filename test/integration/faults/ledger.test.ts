import { expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, signal } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import { Ledger } from '../../support/ledger.ts'
import type { RawClient } from '../../support/raw-client.ts'

/** What was acknowledged through the pooler is there exactly once, whatever happened to the servers meanwhile. */

const CLIENTS = 8
/** Entries that must be acknowledged before the next fault, so that each hits a pool at work. */
const BETWEEN_FAULTS = 60

// The template's clusters lose acknowledged transactions in a crash.
const scene = faultScene({ poolSize: 3, postgres: { synchronous_commit: 'on' } })

const insert = (id: number) => `INSERT INTO ledger VALUES (${id})`

/** The ways to write entries. Each resolves only if all of its entries were acknowledged. */
const WAYS: readonly ((client: RawClient, ids: readonly [number, number]) => Promise<void>)[] = [
  async (client, [a, b]) => {
    expect(letters(await client.query(`${insert(a)}; ${insert(b)}`))).toBe('CCZ')
  },
  async (client, [a, b]) => {
    expect(letters(await client.query('BEGIN'))).toBe('CZ')
    expect(letters(await client.query(insert(a)))).toBe('CZ')
    expect(letters(await client.query(insert(b)))).toBe('CZ')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
  },
  async (client, [a, b]) => {
    client.send(f.extended(insert(a)), f.extended(insert(b)), f.sync())
    expect(letters(await client.receiveUntil('Z'))).toBe('12nC12nCZ')
  },
  async (client, [a, b]) => {
    client.send(f.parse('entry', 'INSERT INTO ledger VALUES ($1::int)'))
    client.send(f.run('entry', [`${a}`]), f.run('entry', [`${b}`]), f.close('S', 'entry'), f.sync())
    expect(letters(await client.receiveUntil('Z'))).toBe('12C2C3Z')
  },
  async (client, [a, b]) => {
    client.send(f.query('COPY ledger FROM STDIN'), f.copyData(`${a}\n${b}\n`), f.copyDone())
    expect(letters(await client.receiveUntil('Z'))).toBe('GCZ')
  },
]

test('an acknowledged insert is there exactly once, whatever happens to the servers', async () => {
  const { postgres, proxy } = scene
  await postgres.query('CREATE TABLE ledger (id int)')
  const ledger = new Ledger()
  let working = true

  async function keepWriting(turn: number): Promise<void> {
    let client: RawClient | undefined
    while (working) {
      const ids = [ledger.next(), ledger.next()] as const
      try {
        client ??= await scene.connect()
        await WAYS[turn % WAYS.length]?.(client, ids)
        ledger.acknowledge(...ids)
      } catch (error) {
        // Lost connections are what this is about; an answer of another shape is not.
        if (error instanceof Error && error.name === 'AssertionError') throw error
        client?.destroy()
        client = undefined
      }
      turn += 1
    }
  }

  // A test that has just cut all connections may find none.
  const victim = () =>
    eventually(
      'a server',
      async () => (await scene.backends())[0],
      (pid) => pid !== undefined,
    )
  const faults: readonly (() => unknown)[] = [
    async () => postgres.query(`SELECT pg_terminate_backend(${await victim()})`),
    () => proxy.cut('reset'),
    () => proxy.cutAfter('toClient', 333, 'reset'),
    async () => signal(await victim(), 'SIGKILL'),
    () => proxy.cutAfter('toServer', 500, 'reset'),
    () => postgres.restart('immediate'),
    () => proxy.cut('close'),
    () => proxy.cutAfter('toClient', 1000, 'close'),
    () => postgres.restart('fast'),
  ]

  const writers = Promise.all(Array.from({ length: CLIENTS }, (_, index) => keepWriting(index)))
  // A wrong answer ends the test at once, not after the last fault.
  const story = async () => {
    for (const fault of [...faults, () => {}]) {
      const before = ledger.acknowledged
      await eventually(
        `${BETWEEN_FAULTS} more entries to be acknowledged`,
        () => ledger.acknowledged - before,
        (count) => count >= BETWEEN_FAULTS,
      )
      await fault()
    }
  }
  await Promise.race([story(), writers]).finally(() => {
    working = false
  })
  await writers

  const ids = (await postgres.query('SELECT id FROM ledger')).map(({ id }) => id as number)
  expect(ledger.problems(ids)).toEqual([])
  expect(ledger.acknowledged).toBeGreaterThan(BETWEEN_FAULTS * faults.length)
})
