import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import { noWalSender, STREAMING_SETTINGS } from '../../support/replication-stage.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** Logical replication of PostgreSQL itself, from one server to another through the pooler. */

let publisher: TestCluster
let subscriber: TestCluster
let pooler: TestPooler

beforeAll(async () => {
  ;[publisher, subscriber] = await Promise.all([
    startPostgres({ settings: STREAMING_SETTINGS }),
    startPostgres({ settings: { ...STREAMING_SETTINGS, wal_retrieve_retry_interval: '100ms' } }),
  ])
  pooler = await startPooler({ server: publisher, pooler: { default_pool_size: 4 } })
})

afterAll(async () => {
  await pooler.stop()
  await Promise.all([publisher.stop(), subscriber.stop()])
})

async function subscriberHas(count: number): Promise<void> {
  await eventually(
    `the subscriber to have ${count} rows`,
    () => subscriber.query('SELECT count(*)::int AS count FROM things'),
    ([row]) => row?.count === count,
  )
}

test('a subscription copies its tables, follows them, and goes on after the pooler has dropped it', async () => {
  await publisher.query(
    'CREATE TABLE things (id int PRIMARY KEY, t timestamptz DEFAULT now()); CREATE PUBLICATION all_things FOR ALL TABLES',
  )
  await publisher.query('INSERT INTO things SELECT generate_series(1, 1000)')
  await subscriber.query('CREATE TABLE things (id int PRIMARY KEY, t timestamptz)')
  await subscriber.query(`CREATE SUBSCRIPTION mine
    CONNECTION 'host=${pooler.host} port=${pooler.port} user=postgres dbname=postgres' PUBLICATION all_things`)
  await subscriberHas(1000)
  await publisher.query('INSERT INTO things SELECT generate_series(1001, 2000)')
  await subscriberHas(2000)

  await pooler.control.pause()
  await noWalSender(publisher)
  await publisher.query('INSERT INTO things SELECT generate_series(2001, 3000)')
  pooler.control.resume()
  await subscriberHas(3000)

  await subscriber.query('DROP SUBSCRIPTION mine')
  await noWalSender(publisher)
  expect(await publisher.query('SELECT slot_name FROM pg_replication_slots')).toEqual([])
})
