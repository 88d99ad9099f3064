import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from '../../../src/embedded/free-port.ts'
import { eventually } from '../../support/eventually.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** A pooler that may have few open files: what happens when clients have taken them all, and afterwards. */

const LIMIT = 100
/** More than the limit: somebody must be refused. */
const MANY = 130

let folder: string
let pooler: PoolerProcess
let port: number
const clients: RawClient[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-descriptors-'))
  port = await freePort()
  const { host, port: serverPort, user, password } = sharedPostgres()
  const login = password === undefined ? '' : `password = ${JSON.stringify(password)}\n`
  await writeFile(
    join(folder, 'pooler.toml'),
    `[pooler]\nlisten_port = ${port}\nauth_type = "trust"\ndefault_pool_size = 4\n` +
      `[databases."*"]\nhost = ${JSON.stringify(host)}\nport = ${serverPort}\n[users.${user}]\n${login}`,
  )
  pooler = new PoolerProcess({ folder, parameters: ['pooler.toml'], maxOpenFiles: LIMIT })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.end('SIGKILL')
  await rm(folder, { recursive: true })
})

/** The client that got in, or what it was told. */
async function connect(): Promise<RawClient | string> {
  const { user, database } = sharedPostgres()
  try {
    const client = await RawClient.connect({ host: '127.0.0.1', port, user, database })
    clients.push(client)
    return client
  } catch (error) {
    return (error as Error).message
  }
}

test('a limit that is too low for max_client_conn is told at the start', async () => {
  expect(await pooler.logs('the limit of open files')).toMatchObject({
    level: 40,
    limit: LIMIT,
    max_client_conn: 1000,
    servers: 4,
    needed: 1068,
  })
})

test('who comes when no descriptors are left is refused; the others notice nothing, and then all get in', async () => {
  await pooler.logs('listening')
  const first = await connect()
  if (typeof first === 'string') throw new Error(first)
  await first.query('BEGIN')
  // Three times as many as there is room for, all at once and one after the other.
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all(Array.from({ length: MANY }, connect))
    const refusals = answers.filter((answer) => typeof answer === 'string')
    expect(refusals.length).toBeGreaterThan(MANY - LIMIT)
    // While the refused ones before it linger, one may get a descriptor of the very last, and not a word.
    await eventually('a refusal in words', connect, (answer) =>
      /53300 no more connections allowed \(the limit of open files/.test(String(answer)),
    )
    const inside = clients.filter((client) => client !== first)
    expect(inside.length).toBeGreaterThan(20)
    // Those who are in are served, also with servers that are opened only now.
    for (const client of [first, ...inside.slice(0, 3)]) expect(await client.value('SELECT 7')).toBe('7')
    await Promise.all(
      inside.map(async (client) => {
        client.end()
        await client.closed()
      }),
    )
    clients.splice(0, clients.length, first)
    const again = await eventually('room again', connect, (answer) => typeof answer !== 'string')
    if (typeof again !== 'string') expect(await again.value('SELECT 8')).toBe('8')
  }
  await first.query('COMMIT')
  const lines = pooler.log.filter(({ msg }) => String(msg).startsWith('client refused'))
  const times = lines.map(({ time }) => Date.parse(String(time)))
  const gapsMs = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  expect(
    gapsMs.filter((ms) => ms < 4900),
    'lines within five seconds of the one before',
  ).toEqual([])
  expect(lines[0]).toMatchObject({ limit: LIMIT, refused: 1 })
  expect(await pooler.end('SIGTERM')).toBe(0)
  expect(pooler.errors).toBe('')
  // Hundreds of logins, three times over, and a log that speaks once in five seconds.
}, 60_000)
