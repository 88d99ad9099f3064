import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { metricTable } from '../../../src/metrics/metric-table.ts'
import { eventually } from '../../support/eventually.ts'
import { Exposition } from '../../support/exposition.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** /metrics over a real PostgreSQL: the text itself, and whether the numbers are those of what was done. */

let pooler: TestPooler
const clients: RawClient[] = []

async function start(settings: Record<string, unknown> = {}): Promise<void> {
  const server = sharedPostgres()
  const { host, port, database: dbname } = server
  pooler = await startPooler({
    server,
    pooler: { http_listen: '127.0.0.1:0', stats_users: 'postgres', default_pool_size: 2, ...settings },
    databases: { one: { host, port, dbname }, two: { host, port, dbname } },
  })
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
})

async function connect(database = 'one'): Promise<RawClient> {
  const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database })
  clients.push(client)
  return client
}

async function scrape(): Promise<Exposition> {
  const response = await fetch(`${pooler.http}/metrics`, { headers: { connection: 'close' } })
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return Exposition.parse(await response.text())
}

/** Something of everything: both protocols, an error, a cancel, a breach of the protocol, COPY, clients that go. */
async function work(): Promise<void> {
  const client = await connect()
  await client.query('SELECT generate_series(1, 10)')
  await client.query('SELECT 1 / 0')
  await client.query('BEGIN; SELECT pg_sleep(0.01); COMMIT')
  const named = { name: 'named', text: 'SELECT $1::int' }
  const library = new Client({ connectionString: pooler.url('two') })
  await library.connect()
  await library.query({ ...named, values: [1] })
  await library.query({ ...named, values: [2] })
  await library.end()
  const rude = await connect('two')
  rude.send(Buffer.from('~\0\0\0\x04', 'latin1'))
  await rude.closed()
}

describe('the text', () => {
  beforeEach(() => start())

  test('is valid, and every metric of the table is in it', async () => {
    await work()
    const text = await scrape()
    for (const { name, type, help } of metricTable)
      expect(text.families.get(name)).toMatchObject({ type, help })
    expect(text.families.has('process_cpu_seconds_total')).toBe(true)
    expect(text.families.has('nodejs_eventloop_lag_p99_seconds')).toBe(true)
  })

  test('counters and buckets never go backwards, whatever is done in between', async () => {
    let before = await scrape()
    for (let round = 0; round < 4; round++) {
      await work()
      if (round === 1) pooler.control.reconnect()
      if (round === 2) await pooler.reload()
      const now = await scrape()
      for (const [series, value] of before.growing()) {
        expect(now.value(series), series).toBeGreaterThanOrEqual(value)
      }
      before = now
    }
  })
})

describe('the numbers', () => {
  beforeEach(() => start())

  test('are those of SHOW STATS', async () => {
    await work()
    const admin = new Client({ connectionString: pooler.url('pgbouncer') })
    await admin.connect()
    const { rows } = await admin.query('SHOW STATS_TOTALS')
    await admin.end()
    const text = await scrape()
    for (const row of rows.filter(({ database }) => database !== 'pgbouncer')) {
      const { database } = row
      const stat = (name: string): number => text.value(`pooler_stats_${name}{database="${database}"}`)
      const whole = (name: string): number => text.sum(name, { database })
      expect(stat('sql_transactions_pooled_total')).toBe(Number(row.xact_count))
      expect(stat('queries_pooled_total')).toBe(Number(row.query_count))
      expect(stat('received_bytes_total')).toBe(Number(row.bytes_received))
      expect(stat('sent_bytes_total')).toBe(Number(row.bytes_sent))
      expect(stat('queries_duration_seconds_total')).toBeCloseTo(Number(row.query_time) / 1e6, 9)
      expect(stat('client_logins_total')).toBe(Number(row.client_login_count))
      expect(whole('pooler_query_duration_seconds_sum')).toBeCloseTo(Number(row.query_time) / 1e6, 9)
      expect(whole('pooler_transaction_duration_seconds_sum')).toBeCloseTo(Number(row.xact_time) / 1e6, 9)
      expect(whole('pooler_server_wait_seconds_sum')).toBeCloseTo(Number(row.wait_time) / 1e6, 9)
      expect(whole('pooler_server_wait_seconds_count')).toBe(Number(row.server_assignment_count))
      expect(whole('pooler_login_duration_seconds_count')).toBe(Number(row.client_login_count))
    }
    expect(rows.length).toBe(3)
  })

  test('tell messages by direction and type, also what the pooler says itself', async () => {
    const client = await connect()
    await client.query('SELECT generate_series(1, 10)')
    const before = await scrape()
    await client.query('SELECT generate_series(1, 10)')
    const now = await scrape()
    const changed = (direction: string, type: string): number => {
      const series = `pooler_messages_total{direction="${direction}",type="${type}"}`
      return now.value(series) - before.value(series)
    }
    for (const direction of ['from_client', 'to_server']) expect(changed(direction, 'Query')).toBe(1)
    for (const direction of ['from_server', 'to_client']) {
      expect(changed(direction, 'RowDescription')).toBe(1)
      expect(changed(direction, 'DataRow')).toBe(10)
      expect(changed(direction, 'CommandComplete')).toBe(1)
      expect(changed(direction, 'ReadyForQuery')).toBe(1)
    }
    const bytes = (direction: string) => now.sum('pooler_message_bytes_total', { direction })
    expect(bytes('from_client')).toBe(client.stream.socket.bytesWritten)
    expect(bytes('to_client')).toBe(client.stream.socket.bytesRead)
  })

  test('count what the pooler asks a server for itself to the server alone', async () => {
    const client = await connect()
    await client.query("SET work_mem = '1MB'")
    const other = await connect()
    await other.query('SELECT 1')
    const text = await scrape()
    const count = (direction: string, type: string): number =>
      text.value(`pooler_messages_total{direction="${direction}",type="${type}"}`)
    expect(count('from_client', 'Query')).toBe(2)
    expect(count('to_server', 'Query')).toBeGreaterThan(2)
    expect(count('to_client', 'CommandComplete')).toBe(2)
    expect(count('from_server', 'CommandComplete')).toBeGreaterThan(2)
  })

  test('say why connections were closed, and add up', async () => {
    await work()
    const killed = await connect()
    pooler.control.kill('one')
    await killed.closed()
    pooler.control.resume('one')
    const text = await eventually(
      'the last clients to go',
      scrape,
      (found) => found.value('pooler_clients') === 0,
    )
    const closed = (side: string, reason: string): number =>
      text.value(`pooler_${side}_connections_closed_total{reason="${reason}"}`)
    expect(closed('client', 'client_closed')).toBe(1)
    expect(closed('client', 'protocol_error')).toBe(1)
    expect(closed('client', 'database_removed')).toBe(2)
    expect(closed('server', 'pause')).toBe(1)
    expect(text.sum('pooler_client_connections_closed_total')).toBe(
      text.value('pooler_client_connections_opened_total'),
    )
    expect(
      text.value('pooler_server_connections_opened_total') -
        text.sum('pooler_server_connections_closed_total'),
    ).toBe(text.sum('pooler_databases_current_connections'))
  })

  test('tell errors by SQLSTATE: the servers’, the pooler’s own, and breaches of the protocol', async () => {
    await work()
    const text = await scrape()
    expect(text.sum('pooler_server_errors_total', { database: 'one', sqlstate: '22012' })).toBe(1)
    expect(text.sum('pooler_client_errors_total', { sqlstate: '08P01' })).toBe(1)
    expect(
      text.value('pooler_protocol_violations_total{side="client",kind="invalid_message",sqlstate="08P01"}'),
    ).toBe(1)
  })

  test('tell how long clients wait, while they do and afterwards', async () => {
    const [one, two, three] = [await connect(), await connect(), await connect()]
    await one.query('BEGIN')
    await two.query('BEGIN')
    three.send(frontend.query('SELECT 1'))
    const pool = '{database="one",user="postgres"}'
    const text = await eventually(
      'a client to wait',
      scrape,
      (found) => found.value(`pooler_pools_client_waiting_connections${pool}`) === 1,
    )
    expect(text.value(`pooler_pools_server_active_connections${pool}`)).toBe(2)
    expect(text.value(`pooler_pools_client_maxwait_seconds${pool}`)).toBeGreaterThan(0)
    await one.query('COMMIT')
    await three.receiveUntil('Z')
    const later = await scrape()
    expect(later.value(`pooler_pools_client_waiting_connections${pool}`)).toBe(0)
    expect(later.value(`pooler_server_wait_seconds_sum${pool}`)).toBeGreaterThan(0)
  })
})

test('pools beyond metrics_max_pools are counted together, and nothing is lost', async () => {
  await start({ metrics_max_pools: 1 })
  await (await connect('one')).query('SELECT 1')
  await (await connect('two')).query('SELECT 1')
  await (await connect('postgres')).query('SELECT 1')
  const text = await scrape()
  const counts = [...text.series('pooler_query_duration_seconds_count')]
  expect(counts).toEqual([
    ['pooler_query_duration_seconds_count{database="one",user="postgres"}', 1],
    ['pooler_query_duration_seconds_count{database="other",user="other"}', 2],
  ])
  expect([...text.series('pooler_stats_queries_pooled_total')]).toEqual([
    ['pooler_stats_queries_pooled_total{database="one"}', 1],
    ['pooler_stats_queries_pooled_total{database="other"}', 2],
  ])
  expect(text.value('pooler_pools_server_idle_connections{database="other",user="other"}')).toBe(2)
})

test('/metrics is read-only: a scrape changes nothing but the scrape', async () => {
  await start()
  await work()
  const own = (text: Exposition) => [...text.growing()].filter(([series]) => series.startsWith('pooler_'))
  const before = await eventually(
    'the last client to go',
    scrape,
    (found) => found.value('pooler_login_clients') === 0,
  )
  expect(own(await scrape())).toEqual(own(before))
})
