import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** `pooler top` as a command, over the console of a pooler with PostgreSQL behind it. */

let pooler: TestPooler

beforeAll(async () => {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { stats_users: 'watcher' },
    users: { watcher: {}, stranger: {} },
  })
})

afterAll(() => pooler.stop())

function top(...parameters: string[]): PoolerProcess {
  return new PoolerProcess({ folder: tmpdir(), parameters: ['top', ...parameters] })
}

describe('pooler top', () => {
  test('--once prints one picture and exits with 0', async () => {
    const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'postgres' })
    await client.query('BEGIN')
    const command = top('--once', pooler.url('pgbouncer', 'watcher'))
    expect(await command.exitCode()).toBe(0)
    client.destroy()
    expect(command.errors).toBe('')
    expect(command.output).toMatch(/^PgBouncer .*: active \| \d+ pools? \| clients 1 active, 0 waiting/)
    expect(command.output).toMatch(/^postgres +postgres +1 +0 +1 +0 +0 +0ms$/m)
    expect(command.output).not.toContain('\x1b')
  })

  test('prints a picture each second, with rates from the second on, until SIGINT', async () => {
    const command = top(pooler.url('pooler', 'watcher'))
    await expect.poll(() => command.output.match(/QUERY\/S/g)?.length ?? 0, { timeout: 15_000 }).toBe(2)
    command.signal('SIGINT')
    expect(await command.exitCode()).toBe(0)
    expect(command.output).toMatch(/^postgres +0 +0 +0 +0 +- +- +-$/m)
  })

  test.each([
    ['nobody listens', 'postgres://watcher@127.0.0.1:1/pgbouncer', /127\.0\.0\.1/],
    ['the user may not', '', /not allowed/],
    ['the URL is broken', 'postgres://host:port', /postgres:\/\/user/],
    ['there is no such file', 'nowhere.toml', /nowhere\.toml/],
  ])('where %s it says so in a sentence and exits with 1', async (_case, target, sentence) => {
    const command = top(target === '' ? pooler.url('pgbouncer', 'stranger') : target)
    expect(await command.exitCode()).toBe(1)
    expect(command.errors).toMatch(sentence)
    expect(command.errors.trim().split('\n')).toHaveLength(1)
    expect(command.output).toBe('')
  })
})
