import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest'
import { EmbeddedPostgres, type EmbeddedPostgresOptions } from '../../../src/embedded/embedded-postgres.ts'
import { EmbeddedPostgresError } from '../../../src/embedded/embedded-postgres-error.ts'
import { isAlive, stopAbandoned } from '../../../src/embedded/postmaster.ts'
import { copyTemplate } from '../../support/copy-template.ts'

/** All of it happens below a folder that only its owner may enter, as a fresh clone of root often does. */
let parent: string
let folder: string
const started: EmbeddedPostgres[] = []
const programs: ChildProcess[] = []

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'pooler-embedded-'))
  await chmod(parent, 0o700)
  folder = join(parent, '.pooler')
})

afterEach(async () => {
  for (const program of programs.splice(0)) await end(program)
  for (const postgres of started.splice(0)) await postgres.stop('immediate')
  // What a killed program started is told to stop, but may still write its last files.
  await stopAbandoned(join(folder, 'data'), null)
  await rm(parent, { recursive: true, force: true })
})

function embedded(options: Partial<EmbeddedPostgresOptions> = {}): EmbeddedPostgres {
  const postgres = new EmbeddedPostgres({
    folder,
    initdbParameters: ['--no-sync'],
    settings: { fsync: 'off' },
    ...options,
  })
  started.push(postgres)
  return postgres
}

/** A cluster that is there already, for the tests that are not about how it is made. */
async function clusterExists(): Promise<void> {
  await mkdir(folder, { mode: 0o700 })
  await copyTemplate(inject('postgresTemplate'), join(folder, 'data'))
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** Another process that starts PostgreSQL in `folder` and lives until it is killed. */
async function startInAnotherProcess(): Promise<{ program: ChildProcess; url: string; pid: number }> {
  const script = fileURLToPath(new URL('start-and-wait.ts', import.meta.url))
  const program = spawn(process.execPath, ['--import', 'tsx', script, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  programs.push(program)
  const [line] = await once(createInterface(program.stdout), 'line')
  return { program, ...JSON.parse(line) }
}

async function end(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  const ended = once(program, 'exit')
  program.kill('SIGKILL')
  await ended
}

async function failure(postgres: EmbeddedPostgres): Promise<string> {
  const error = await postgres.start().then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(EmbeddedPostgresError)
  const { message } = error as EmbeddedPostgresError
  expect(message).not.toContain('\n')
  return message
}

describe('a cluster', () => {
  test('is made in a closed folder, keeps its data over starts, and leaves no process behind', async () => {
    const postgres = embedded()
    await postgres.start()
    const { pid } = postgres
    await query(postgres.url(), 'CREATE TABLE kept AS SELECT 42 AS answer')
    await postgres.stop()
    expect(isAlive(pid as number)).toBe(false)
    expect(postgres.pid).toBeUndefined()
    expect((await readdir(folder)).sort()).toEqual(['data', 'postgres.log'])

    const again = embedded()
    await again.start()
    expect(await query(again.url(), 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
  })

  test('asks for the password, checks its pages and sorts by code point in UTF-8', async () => {
    const postgres = embedded({ password: 'p@ss/wörd' })
    await postgres.start()
    const [row] = await query(
      postgres.url(),
      `SELECT current_setting('data_checksums') AS checksums, current_setting('server_encoding') AS encoding,
              current_setting('unix_socket_directories') AS sockets, 'Z' < 'a' AS by_code_point`,
    )
    expect(row).toEqual({ checksums: 'on', encoding: 'UTF8', sockets: '', by_code_point: true })
    const wrong = postgres.url().replace(/:[^:@]+@/, ':wrong@')
    await expect(query(wrong, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
  })

  test('is started from what a crash of initdb left behind', async () => {
    // 2^22 is above every process number that Linux gives, so its owner cannot be alive.
    const abandoned = join(folder, 'data.incomplete-4194305')
    await mkdir(join(abandoned, 'base'), { recursive: true })
    await writeFile(join(abandoned, 'PG_VERSION'), '18\n')
    const postgres = embedded()
    await postgres.start()
    expect(await readdir(folder)).not.toContain('data.incomplete-4194305')
  })

  test('that is already running is not started twice by the same object', async () => {
    await clusterExists()
    const postgres = embedded()
    await postgres.start()
    expect(await failure(postgres)).toBe(`PostgreSQL runs already on ${postgres.dataFolder}`)
  })
})

describe('a start says in one sentence', () => {
  test('that the port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    expect(await failure(embedded({ port }))).toBe(
      `port ${port} on 127.0.0.1 is in use: stop the program that listens there, or choose another port`,
    )
    server.close()
  })

  test('that the data belongs to another major version', async () => {
    await mkdir(join(folder, 'data/global'), { recursive: true })
    await writeFile(join(folder, 'data/PG_VERSION'), '16\n')
    await writeFile(join(folder, 'data/postgresql.conf'), '')
    expect(await failure(embedded())).toMatch(
      /belongs to PostgreSQL 16, but the embedded PostgreSQL is 18: move it/,
    )
  })

  test('that the data folder holds something else', async () => {
    await mkdir(join(folder, 'data'), { recursive: true })
    await writeFile(join(folder, 'data/holiday.jpg'), '')
    expect(await failure(embedded())).toMatch(
      /data is damaged: it has files, but no complete PostgreSQL cluster/,
    )
    expect(await readdir(join(folder, 'data'))).toEqual(['holiday.jpg'])
  })

  test('what PostgreSQL says about a damaged file', async () => {
    await clusterExists()
    const postgres = embedded()
    await postgres.start()
    await postgres.stop()
    await truncate(join(postgres.dataFolder, 'global/pg_control'), 10)
    const message = await failure(embedded())
    expect(message).toMatch(/^PostgreSQL did not start on .*\/data: .*pg_control/)
    expect(message).toContain(postgres.logFile)
  })

  test('what PostgreSQL says about a wrong setting', async () => {
    await clusterExists()
    expect(await failure(embedded({ settings: { shared_buffers: 'plenty' } }))).toMatch(
      /invalid value for parameter "shared_buffers": "plenty"/,
    )
  })

  test('what initdb says', async () => {
    const message = await failure(embedded({ initdbParameters: ['--wal-segsize=3'] }))
    expect(message).toMatch(/^PostgreSQL's initdb could not make the data folder .*--wal-segsize/)
    expect(await readdir(folder)).toEqual([])
  })

  test('that the folder cannot be made', async () => {
    await writeFile(join(parent, 'file'), '')
    expect(await failure(embedded({ folder: join(parent, 'file/.pooler') }))).toMatch(
      /file\/\.pooler cannot be made \(ENOTDIR\): choose another one with --data$/,
    )
  })
})

describe('a pooler that was killed', () => {
  test('takes its PostgreSQL with it', async () => {
    await clusterExists()
    const { program, pid } = await startInAnotherProcess()
    program.kill('SIGKILL')
    await vi.waitFor(() => expect(isServer(pid)).resolves.toBe(false), { timeout: 20_000, interval: 20 })
  })

  test('is succeeded at once by the next start, with all data', async () => {
    await clusterExists()
    const { program, url } = await startInAnotherProcess()
    await query(url, 'CREATE TABLE kept AS SELECT 42 AS answer')
    await end(program)
    const postgres = embedded()
    await postgres.start()
    expect(await query(postgres.url(), 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
  })

  test('and that lives still keeps its folder', async () => {
    await clusterExists()
    const { program, url } = await startInAnotherProcess()
    expect(await failure(embedded())).toBe(
      `the data folder ${folder}/data is in use by the pooler with process number ${program.pid}: ` +
        'stop that one, or choose another folder with --data',
    )
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test('leaves a postmaster.pid that does not stop the next start, though its number lives on', async () => {
    await clusterExists()
    const postgres = embedded()
    await postgres.start()
    await cp(join(postgres.dataFolder, 'postmaster.pid'), join(parent, 'postmaster.pid'))
    await postgres.stop()
    const lines = (await readFile(join(parent, 'postmaster.pid'), 'utf8')).split('\n')
    lines[0] = String(process.pid)
    await writeFile(join(postgres.dataFolder, 'postmaster.pid'), lines.join('\n'))
    await embedded().start()
  })
})

/** False also for a process that has ended and waits for its parent to notice. */
async function isServer(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false
  return (await stat(`/proc/${pid}/exe`).catch(() => null)) !== null
}
