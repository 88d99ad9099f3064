import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { TestPooler } from '../support/pooler.ts'
import { startPooler } from '../support/pooler.ts'
import { SystemPostgres, systemPrograms } from '../support/system-postgres.ts'

/** PostgreSQL's own replication through the pooler: its tools and a standby, where the machine has them and a server. */

const PROGRAMS = ['postgres', 'initdb', 'pg_ctl', 'pg_basebackup', 'pg_receivewal', 'pg_recvlogical']
const programs = systemPrograms(PROGRAMS) ?? ''
/** A tool that hangs is ended within its test. */
const TOO_LONG_MS = 25_000
const run = promisify(execFile)

describe.runIf(programs !== '')('through the pooler', () => {
  let postgres: SystemPostgres
  let pooler: TestPooler
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'replication-tools-'))
    postgres = await SystemPostgres.create(programs, { wal_level: 'logical', synchronous_commit: 'off' })
    await postgres.query('CREATE TABLE things AS SELECT generate_series(1, 1000) AS id')
    pooler = await startPooler({
      server: postgres,
      pooler: { default_pool_size: 2 },
      // What pg_basebackup and pg_receivewal ask for.
      databases: { replication: { host: postgres.host, port: postgres.port, dbname: 'postgres' } },
    })
  })

  afterAll(async () => {
    await pooler.stop()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  })

  async function tool(name: string, ...args: readonly string[]): Promise<string> {
    const { host, port } = pooler
    const address = ['-h', host, '-p', String(port), '-U', 'postgres', '--no-password']
    const { stdout } = await run(join(programs, name), [...address, ...args], { timeout: TOO_LONG_MS })
    return stdout
  }

  async function nobodyIsLeft(): Promise<void> {
    await eventually(
      'the pooler to have no client and no replication connection',
      () => pooler.stats,
      ({ clients, pools }) => clients === 0 && pools.every(({ active }) => active === 0),
    )
  }

  const currentWal = async (): Promise<string> =>
    String((await postgres.query('SELECT pg_current_wal_insert_lsn()::text AS lsn'))[0]?.lsn)

  test('pg_basebackup copies a cluster, with the WAL on a second connection, from which a standby runs', async () => {
    const backup = join(folder, 'backup')
    await tool('pg_basebackup', '-D', backup, '-X', 'stream', '-c', 'fast', '-R', '-C', '-S', 'standby')
    await nobodyIsLeft()
    expect(await readdir(backup)).toContain('backup_manifest')
    const standby = await SystemPostgres.onBackup(programs, backup)
    try {
      await postgres.query('INSERT INTO things VALUES (1001)')
      await eventually(
        'the standby to have the row',
        () => standby.query('SELECT count(*)::int AS count FROM things'),
        ([row]) => row?.count === 1001,
      )
      expect(await postgres.query('SELECT active FROM pg_replication_slots')).toEqual([{ active: true }])
      expect(pooler.stats.pools).toMatchObject([{ database: 'replication', active: 1 }])
    } finally {
      await standby.stop()
    }
    await nobodyIsLeft()
    await postgres.query("SELECT pg_drop_replication_slot('standby')")
  })

  test('pg_receivewal writes the very WAL of the server', async () => {
    const wal = join(folder, 'wal')
    await mkdir(wal)
    await postgres.query("SELECT pg_create_physical_replication_slot('receiver', true)")
    await postgres.query('INSERT INTO things SELECT generate_series(1, 50000)')
    const end = await currentWal()
    await postgres.query('SELECT pg_switch_wal()')
    await tool('pg_receivewal', '-D', wal, '--slot', 'receiver', '--no-loop', '-s', '1', '--endpos', end)
    const whole = (await readdir(wal)).filter((name) => !name.endsWith('.partial'))
    expect(whole.length).toBeGreaterThan(1)
    for (const name of whole) {
      const received = await readFile(join(wal, name))
      expect(received.equals(await readFile(join(postgres.dataFolder, 'pg_wal', name))), name).toBe(true)
    }
    await tool('pg_receivewal', '--slot', 'receiver', '--drop-slot')
    await nobodyIsLeft()
  })

  test('pg_recvlogical decodes every change', async () => {
    const slot = ['-d', 'postgres', '--slot', 'decoder']
    await tool('pg_recvlogical', ...slot, '--create-slot', '-P', 'test_decoding')
    await postgres.query('INSERT INTO things SELECT generate_series(70001, 75000)')
    const end = await currentWal()
    const args = ['--start', '-f', '-', '--no-loop', '--endpos', end, '-o', 'include-xids=0']
    const lines = (await tool('pg_recvlogical', ...slot, ...args)).trim().split('\n')
    const inserts = lines.filter((line) => line.startsWith('table public.things: INSERT'))
    expect(inserts).toHaveLength(5000)
    expect(inserts.at(-1)).toBe('table public.things: INSERT: id[integer]:75000')
    await tool('pg_recvlogical', ...slot, '--drop-slot')
    await nobodyIsLeft()
  })
})
