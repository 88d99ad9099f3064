import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import { freePort } from '../../../src/embedded/free-port.ts'
import { Pooler } from '../../../src/pooler.ts'
import { isMessage } from '../../support/backend-message.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Clients that connect through the unix socket of unix_socket_dir, by libpq, by a driver and by hand. */

const PORT = 6432

let folder: string
let rules: string
const poolers: { stop(): Promise<void> }[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-unix-'))
  rules = await mkdtemp(join(tmpdir(), 'pooler-unix-rules-'))
})
afterEach(async () => {
  for (const pooler of poolers.splice(0)) await pooler.stop()
  expect(await readdir(folder), 'a pooler that stopped leaves nothing').toEqual([])
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  await rm(rules, { recursive: true })
})

async function start(settings: ConfigInput['pooler'] = {}): Promise<TestPooler> {
  const pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { listen_addr: '', listen_port: PORT, unix_socket_dir: folder, ...settings },
  })
  poolers.push(pooler)
  return pooler
}

async function startWithRules(lines: string, settings: ConfigInput['pooler'] = {}): Promise<TestPooler> {
  const path = join(rules, 'pg_hba.conf')
  await writeFile(path, lines)
  return start({ auth_type: 'hba', auth_hba_file: path, ...settings })
}

async function logIn({ host, port }: { host: string; port: number }): Promise<string> {
  const { user, database, password } = sharedPostgres()
  try {
    const client = await RawClient.connect({ host, port, user, database, password })
    client.end()
    return 'is in'
  } catch (error) {
    return (error as Error).message
  }
}

function hasPsql(): boolean {
  try {
    execFileSync('psql', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
    console.warn('psql is not installed here: its test of unix sockets does not run')
    return false
  }
}

test('the driver pg gets in through the folder, where there is no address to listen on', async () => {
  const { host, port } = await start()
  expect({ host, port }).toEqual({ host: folder, port: PORT })
  expect(await readdir(folder)).toEqual([`.s.PGSQL.${PORT}`])
  const { user, database } = sharedPostgres()
  const client = new Client({ host, port, user, database })
  await client.connect()
  expect((await client.query('SELECT 6 * 7 AS answer')).rows).toEqual([{ answer: 42 }])
  await client.end()
})

test.runIf(hasPsql())('psql -h FOLDER gets in', async () => {
  const { host, port } = await start()
  const { user, database } = sharedPostgres()
  const client = ['-h', host, '-p', String(port), '-U', user, '-d', database]
  const { stdout } = await promisify(execFile)('psql', [...client, '-XAt', '-c', 'SELECT 6 * 7'])
  expect(stdout).toBe('42\n')
})

test('a port that was found is the name of the socket', async () => {
  const pooler = await start({ listen_addr: '127.0.0.1', listen_port: 0 })
  expect(await readdir(folder)).toEqual([`.s.PGSQL.${pooler.port}`])
  expect(await logIn(pooler)).toBe('is in')
  expect(await logIn({ host: folder, port: pooler.port })).toBe('is in')
})

test('a CancelRequest ends the running query', async () => {
  const { host, port } = await start()
  const { user, database } = sharedPostgres()
  const client = await RawClient.connect({ host, port, user, database })
  client.send(f.query('SELECT pg_sleep(60)'))
  await eventually(
    'the query to run',
    () => sharedPostgres().query("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"),
    (found) => found.length > 0,
  )
  await client.cancel()
  const error = (await client.receiveUntil('Z')).find((message) => isMessage(message, 'E'))
  expect(error).toMatchObject({ code: '57014' })
  client.end()
})

test('lines with local apply to it, those with host do not', async () => {
  const both = { listen_addr: '127.0.0.1', listen_port: 0 }
  const local = await startWithRules('local all all trust\nhost all all all reject\n', both)
  expect(await logIn({ host: folder, port: local.port })).toBe('is in')
  expect(await logIn(local)).toContain('28000 pg_hba.conf rejects connection for host "127.0.0.1"')
  await local.stop()
  poolers.pop()
  const host = await startWithRules('host all all all trust\nhostnossl all all all trust\n', both)
  expect(await logIn({ host: folder, port: host.port })).toContain(
    '28000 no pg_hba.conf entry for host "[local]"',
  )
  expect(await logIn(host)).toBe('is in')
})

test.runIf(hasOpenssl())('there is no TLS on it, also where clients of the network must use it', async () => {
  const authority = await CertificateAuthority.create(join(rules, 'ca'))
  const { key, certificate } = await authority.issue('server', { names: ['DNS:localhost'] })
  const pooler = await start({
    listen_addr: '127.0.0.1',
    listen_port: 0,
    client_tls_sslmode: 'require',
    client_tls_key_file: key,
    client_tls_cert_file: certificate,
  })
  const client = await RawClient.open({ host: folder, port: pooler.port })
  client.send(f.sslRequest())
  expect(await client.receiveByte()).toBe('N')
  client.send(f.startup({ user: sharedPostgres().user, database: sharedPostgres().database }))
  expect(await client.finishLogin(sharedPostgres().user)).toBeUndefined()
  client.end()
  const direct = await RawClient.open({ host: folder, port: pooler.port })
  direct.send(Buffer.from([0x16, 3, 1, 0, 5, 0, 0, 0, 0, 0]))
  expect(await direct.receiveRest()).toEqual([])
  expect(await logIn(pooler)).toContain('28000 SSL required')
})

test('its clients are called unix in the log', async () => {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
  const { host, port, user, password, database } = sharedPostgres()
  const config = buildConfig({
    pooler: { listen_addr: '', unix_socket_dir: folder, auth_type: 'trust' },
    databases: { '*': { host, port } },
    users: { [user]: password === undefined ? {} : { password } },
  })
  const pooler = new Pooler(config, log)
  poolers.push(pooler)
  await pooler.start()
  const client = await RawClient.connect({ ...pooler.address, user, database })
  client.end()
  await client.closed()
  const parsed = lines.map((line) => JSON.parse(line))
  expect(parsed).toContainEqual(expect.objectContaining({ host: folder, port: PORT, msg: 'listening' }))
  expect(parsed).toContainEqual(expect.objectContaining({ client: 'unix', msg: 'client connected' }))
})

test('a second pooler with the same socket does not start, and the first one goes on', async () => {
  const first = await start()
  await expect(start()).rejects.toThrow(/another program listens on the unix socket .*\.s\.PGSQL\.6432/)
  expect(await logIn(first)).toBe('is in')
})

test('a group that does not exist stops the start, and no listener stays', async () => {
  const address = { listen_addr: '127.0.0.1', listen_port: await freePort() }
  await expect(start({ ...address, unix_socket_group: 'no-such-group' })).rejects.toThrow(
    'there is no group "no-such-group" in /etc/group',
  )
  // The address is free again.
  await start(address)
})
