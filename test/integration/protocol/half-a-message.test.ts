import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler } from '../../support/pooler.ts'
import { createDatabase } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** After a chunk that came alone 32 are written at once. */
const CLIENTS = 40
const ROUNDS = 2

// Through a unix socket the end of a connection is there together with its last bytes: in one pass of the event loop.
test('a query in front of half a message is carried out although its client goes at once', async () => {
  const database = await createDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'pooler-'))
  const { host, port, user, password } = database
  const pooler = await startPooler({
    server: { host, port, user, password },
    pooler: { unix_socket_dir: folder, default_pool_size: CLIENTS },
  })
  const options = { host: folder, port: pooler.port, user, database: database.database }
  const admin = await RawClient.connect(database)
  await admin.query('CREATE TABLE done ()')
  const half = f.query(`SELECT ${'1'.repeat(2000)}`).subarray(0, 1000)
  for (let round = 0; round < ROUNDS; round += 1) {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(options)))
    // Now there is a server for each.
    await Promise.all(clients.map((client) => client.query('BEGIN')))
    await Promise.all(clients.map((client) => client.query('COMMIT')))
    for (const client of clients) {
      client.send(f.query('INSERT INTO done DEFAULT VALUES'), half)
      client.destroy()
    }
    await eventually(
      'clients to be gone',
      () => pooler.stats.clients,
      (count) => count === 0,
    )
  }
  const count = String(CLIENTS * ROUNDS)
  await eventually(
    'every row',
    () => admin.value('SELECT count(*) FROM done'),
    (found) => found === count,
  )
  admin.end()
  await pooler.stop()
  await rm(folder, { recursive: true })
  await database.drop()
})
