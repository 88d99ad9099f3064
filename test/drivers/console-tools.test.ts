import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPooler, type TestPooler } from '../support/pooler.ts'
import { sharedPostgres } from '../support/postgres.ts'
import { RawClient } from '../support/raw-client.ts'

/** What people watch PgBouncer with, at the console of the pooler, where the machine has it. */

const TOO_LONG_MS = 25_000
const run = promisify(execFile)
let pooler: TestPooler
let app: RawClient

beforeAll(async () => {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { stats_users: 'watcher', max_client_conn: 50 },
    users: { watcher: {} },
  })
  app = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'postgres' })
  await app.query('BEGIN')
})

afterAll(async () => {
  app.destroy()
  await pooler.stop()
})

/** False, with the reason on the console, when the machine lacks the tool. */
function available(tool: string, option = '--version'): boolean {
  try {
    execFileSync(tool, [option], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
    console.warn(`${tool} is not installed here: its tests do not run`)
    return false
  }
}

describe.runIf(available('psql'))('psql at the console', () => {
  test('shows tables and reports errors', async () => {
    const psql = (sql: string) => run('psql', [pooler.url('pgbouncer', 'watcher'), '-XAt', '-c', sql])
    expect((await psql('SHOW POOLS')).stdout).toMatch(/^postgres\|postgres\|1\|0\|/m)
    await expect(psql('PAUSE')).rejects.toMatchObject({
      stderr: expect.stringContaining('admin access needed'),
    })
  })
})

describe.runIf(available('check_postgres'))('check_postgres', () => {
  const check = async (action: string, ...limits: string[]): Promise<string> => {
    const address = [`--host=${pooler.host}`, `--port=${pooler.port}`, '--dbuser=watcher']
    const { stdout } = await run('check_postgres', [`--action=${action}`, ...address, ...limits], {
      timeout: TOO_LONG_MS,
    })
    return stdout
  }

  test.each([
    ['cl_active', 1],
    ['cl_waiting', 0],
    ['sv_active', 1],
    ['sv_idle', 0],
    ['sv_used', 0],
    ['sv_tested', 0],
    ['sv_login', 0],
    ['maxwait', 0],
  ])('reads %s of each pool', async (column, value) => {
    const answer = await check(`pgb_pool_${column}`, '--warning=50', '--critical=60')
    expect(answer).toMatch(/^POSTGRES_PGB_POOL_\w+ OK/)
    expect(answer).toContain(`postgres=${value}`)
  })

  test('says when there is too much of it', async () => {
    await expect(check('pgb_pool_cl_active', '--warning=1', '--critical=1')).rejects.toMatchObject({
      code: 2,
      stdout: expect.stringContaining('CRITICAL'),
    })
  })

  test('counts clients against max_client_conn', async () => {
    expect(await check('pgbouncer_backends', '--warning=40', '--critical=45')).toMatch(
      /OK.* of 50 connections/,
    )
  })

  test('makes a checksum of the settings', async () => {
    await expect(check('pgbouncer_checksum', `--critical=${'0'.repeat(32)}`)).rejects.toMatchObject({
      code: 2,
      stdout: expect.stringMatching(/CHECKSUM CRITICAL: .*[0-9a-f]{32}/),
    })
  })
})

/**
 * Those of its collectors that can read a PgBouncer of today. As a whole it ends at total_requests of SHOW STATS and
 * reserve_pool of SHOW DATABASES, which PgBouncer itself has no longer.
 */
const COLLECT = `
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_pgbouncer_exporter.utils import get_connection
from prometheus_pgbouncer_exporter import collectors
connection = get_connection('watcher', int(sys.argv[2]), sys.argv[1])
registry = CollectorRegistry()
registry.register(collectors.PoolsCollector(databases=None, connection=connection))
registry.register(collectors.ListsCollector(connection=connection))
print(generate_latest(registry).decode())
`

describe.runIf(available('prometheus-pgbouncer-exporter'))('prometheus-pgbouncer-exporter', () => {
  test('reads pools and lists', async () => {
    const { stdout } = await run('/usr/bin/python3', ['-c', COLLECT, pooler.host, String(pooler.port)], {
      timeout: TOO_LONG_MS,
    })
    expect(stdout).toMatch(/^pgbouncer_active_clients\{database="postgres",user="postgres"\} 1\.0$/m)
    expect(stdout).toMatch(/^pgbouncer_used_clients \d+\.0$/m)
    expect(stdout).toMatch(/^pgbouncer_pools \d+\.0$/m)
  })
})
