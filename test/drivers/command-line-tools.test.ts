import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { pooledDatabase } from '../support/pooled-database.ts'

/** PostgreSQL's own clients through the pooler, where the machine has them. libpq is the driver of most languages. */

const POOL_SIZE = 5
const place = pooledDatabase(POOL_SIZE)
/** A tool that hangs is ended within its test. */
const TOO_LONG_MS = 25_000
const run = promisify(execFile)

/** False, with the reason on the console, when the machine lacks the tool. */
function available(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
    console.warn(`${tool} is not installed here: its tests do not run`)
    return false
  }
}

async function psql(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('psql', [place.ready.url, '-XAtq', '-v', 'ON_ERROR_STOP=1', ...args])
  return stdout.trim()
}

describe.runIf(available('psql'))('psql', () => {
  test('runs queries, scripts and its own catalog queries', async () => {
    expect(await psql('-c', 'SELECT 1', '-c', 'SELECT 2')).toBe('1\n2')
    expect(await psql('-c', 'CREATE TABLE psql_table (id int); INSERT INTO psql_table VALUES (1)')).toBe('')
    expect(await psql('-c', '\\d psql_table')).toContain('id')
    expect(
      await psql('-1', '-c', 'INSERT INTO psql_table VALUES (2)', '-c', 'SELECT count(*) FROM psql_table'),
    ).toBe('2')
    expect(await psql('-c', '\\conninfo')).toContain(place.ready.database)
  })

  test('copies in and out', async () => {
    await psql('-c', 'CREATE TABLE psql_copied (id int)')
    await psql('-c', "\\copy psql_copied FROM PROGRAM 'seq 1 1000'")
    expect(await psql('-c', 'COPY (SELECT count(*) FROM psql_copied) TO STDOUT')).toBe('1000')
  })

  test('reports an error and ends with it', async () => {
    await expect(psql('-c', 'SELECT 1/0')).rejects.toMatchObject({
      stderr: expect.stringContaining('division by zero'),
    })
  })
})

describe.runIf(available('pgbench'))('pgbench', () => {
  for (const protocol of ['simple', 'extended', 'prepared']) {
    test(`runs its own workload in ${protocol} protocol with a hundred clients over five servers`, async () => {
      const { host, port, user, database } = place.ready
      const address = ['-h', host, '-p', String(port), '-U', user, database]
      const environment = { env: { ...process.env, PGPASSWORD: 'not asked for' }, timeout: TOO_LONG_MS }
      await run('pgbench', ['-i', '-q', '-s', '1', ...address], environment)
      const bench = run(
        'pgbench',
        ['-n', '-M', protocol, '-c', '100', '-j', '2', '-T', '2', ...address],
        environment,
      )
      const largest = await place.ready.watchServers(bench)
      const { stdout } = await bench
      expect(stdout).toMatch(/number of failed transactions: 0 /)
      expect(Number(/number of transactions actually processed: (\d+)/.exec(stdout)?.[1])).toBeGreaterThan(50)
      expect(largest).toBeLessThanOrEqual(POOL_SIZE)
      await place.ready.settled()
      const [sums] = await place.ready.direct(
        `SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches) AS equal`,
      )
      expect(sums, 'every transaction was whole').toEqual({ equal: true })
    })
  }
})
