import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isMessage } from '../../support/backend-message.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'
import { hasPsql, openTls, psql } from './tls-client.ts'

/** Much data, encrypted on both sides: nothing is lost, and a slow reader holds up the server, not our memory. */

const MEGABYTE = 1024 * 1024

describe.runIf(hasOpenssl())('over TLS on both sides', () => {
  let folder: string
  let authority: CertificateAuthority
  let server: TestCluster
  let pooler: TestPooler

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-bulk-tls-'))
    authority = await CertificateAuthority.create(folder)
    const own = await authority.issue('pooler', { names: ['DNS:localhost'] })
    server = await startPostgres({ settings: await authority.postgresSettings(own) })
    pooler = await startPooler({
      server: { host: 'localhost', port: server.port, user: 'postgres', password: 'postgres' },
      pooler: {
        default_pool_size: 5,
        client_tls_sslmode: 'require',
        client_tls_key_file: own.key,
        client_tls_cert_file: own.certificate,
        server_tls_sslmode: 'verify-full',
        server_tls_ca_file: authority.certificate,
      },
    })
  })
  afterAll(async () => {
    await pooler?.stop()
    await server?.stop()
    await rm(folder, { recursive: true })
  })

  async function connect(): Promise<RawClient> {
    const client = await openTls(pooler)
    await client.login({ user: 'postgres', database: 'postgres' })
    return client
  }

  test('results of every size around a record and around a buffer arrive whole', async () => {
    const client = await connect()
    for (const near of [8192, 16384, 65536, 98304, 131072]) {
      for (let length = near - 20; length <= near + 2; length += 1) {
        expect(
          await client.value(`SELECT length(repeat('x', ${length}))::text || repeat('x', ${length})`),
        ).toHaveLength(length + String(length).length)
      }
    }
    client.end()
  })

  test('hundreds of thousands of rows arrive in order', async () => {
    const client = await connect()
    client.send(f.query('SELECT n FROM generate_series(1, 300000) n'))
    let expected = 0
    for (;;) {
      const wire = await client.stream.readMessage('a row')
      if (wire?.type === 'D') {
        expected += 1
        if (wire.body.toString('latin1', 6) !== String(expected)) throw new Error(`row ${expected} is wrong`)
      }
      if (wire === undefined || wire.type === 'Z') break
    }
    expect(expected).toBe(300_000)
    client.end()
  })

  test('a reader that stops holds up the server while memory stays bounded, and gets all in the end', async () => {
    const client = await connect()
    const { socket } = client.stream
    socket.pause()
    client.send(f.query(`COPY (SELECT repeat(md5(n::text), 32) FROM generate_series(1, 100000) n) TO STDOUT`))
    const before = process.memoryUsage().external
    await eventually(
      'the server to wait for its client',
      () => server.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'`),
      (rows) => rows.length > 0,
    )
    expect(process.memoryUsage().external - before).toBeLessThan(20 * MEGABYTE)
    const other = await connect()
    expect(await other.value('SELECT 1')).toBe('1')
    other.end()
    const hash = createHash('sha256')
    socket.resume()
    for (;;) {
      const wire = await client.stream.readMessage('a row')
      if (wire?.type === 'd') {
        hash.update(wire.body)
      }
      if (wire === undefined || wire.type === 'Z') break
    }
    const [row] = await server.query(
      `SELECT encode(sha256(string_agg(repeat(md5(n::text), 32) || E'\\n', '' ORDER BY n)::bytea), 'hex') AS hash
         FROM generate_series(1, 100000) n`,
    )
    expect(hash.digest('hex')).toBe(row?.hash)
    client.end()
  })

  test('COPY IN of many megabytes arrives whole', async () => {
    const client = await connect()
    await client.query('CREATE TABLE copied (line text)')
    client.send(f.query('COPY copied FROM STDIN'))
    await client.receive('G')
    const line = `${'x'.repeat(1023)}\n`
    for (let index = 0; index < 32; index += 1) client.send(f.copyData(line.repeat(1024)))
    client.send(f.copyDone())
    await client.receiveUntil('Z')
    expect(await client.value('SELECT count(*) || $$ $$ || sum(length(line)) FROM copied')).toBe(
      '32768 33521664',
    )
    client.end()
  })

  test('a pipeline of a thousand queries is answered in order', async () => {
    const client = await connect()
    const count = 1000
    client.send(
      ...Array.from({ length: count }, (_, n) =>
        Buffer.concat([f.extended('SELECT $1', [String(n)]), f.sync()]),
      ),
    )
    const replies = await client.receiveReplies(count)
    const values = replies.flatMap((message) =>
      isMessage(message, 'D') ? [message.values[0]?.toString()] : [],
    )
    expect(values).toEqual(Array.from({ length: count }, (_, n) => String(n)))
    client.end()
  })

  test.runIf(hasPsql())('psql gets twenty megabytes', async () => {
    const { host, port } = pooler
    const login = { host, port, user: 'postgres', dbname: 'postgres', sslmode: 'require' }
    const output = await psql(login, `SELECT repeat('x', 1000) FROM generate_series(1, 20000)`)
    expect(output).toHaveLength(20_000 * 1001 - 1)
  })
})
