import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { freePort } from '../../../src/embedded/free-port.ts'
import { isAlive, readPostmasterFile } from '../../../src/embedded/postmaster.ts'
import { copyTemplate } from '../../support/copy-template.ts'

/** The command `pooler` as an operator uses it: parameters and signals in, output and exit code out. */

const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')

let folder: string
const commands: Command[] = []

beforeEach(async () => {
  // mkdtemp makes it with mode 0700: as root, PostgreSQL's account cannot enter it.
  folder = await mkdtemp(join(tmpdir(), 'pooler-command-'))
})

afterEach(async () => {
  for (const command of commands.splice(0)) await command.end('SIGTERM')
  await rm(folder, { recursive: true, force: true })
})

/** A cluster that is there already, for the tests that are not about how it is made. */
async function clusterExists(): Promise<void> {
  await mkdir(join(folder, '.pooler'), { mode: 0o700 })
  await copyTemplate(inject('postgresTemplate'), join(folder, '.pooler/data'))
}

/** One run of the command, in `folder`. */
class Command {
  output = ''
  errors = ''
  readonly #process: ChildProcess
  readonly #ended: Promise<number | null>

  constructor(...parameters: string[]) {
    this.#process = spawn(process.execPath, ['--import', TSX, CLI, ...parameters], { cwd: folder })
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.output += chunk
    })
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.errors += chunk
    })
    this.#ended = once(this.#process, 'close').then(([exitCode]) => exitCode as number | null)
    commands.push(this)
  }

  /** Waits until the text is there; fails with everything that was said if the command ends before. */
  async says(text: string): Promise<void> {
    const ended = this.#ended.then(() => true)
    while (!this.output.includes(text)) {
      const chunk = once(this.#process.stdout as NodeJS.ReadableStream, 'data').then(() => false)
      if ((await Promise.race([chunk, ended])) && !this.output.includes(text)) {
        throw new Error(`the command ended without saying "${text}": ${this.output}${this.errors}`)
      }
    }
  }

  async exitCode(): Promise<number | null> {
    return await this.#ended
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal)
    return await this.#ended
  }
}

async function refused(...parameters: string[]): Promise<{ exitCode: number | null; errors: string }> {
  const command = new Command(...parameters)
  return { exitCode: await command.exitCode(), errors: command.errors.trimEnd() }
}

describe('without a configuration file', () => {
  test('the pooler answers in front of a PostgreSQL of its own, and Ctrl-C leaves nothing running', async () => {
    const port = await freePort()
    const command = new Command('--port', String(port))
    await command.says('Ctrl-C stops both.')
    const url = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`
    expect(command.output).toContain(`psql "${url}"`)

    const client = new Client({ connectionString: url })
    await client.connect()
    expect((await client.query('SELECT 6 * 7 AS answer')).rows).toEqual([{ answer: 42 }])
    await client.end()

    const postmaster = await readPostmasterFile(join(folder, '.pooler/data'))
    expect(await command.end('SIGINT')).toBe(0)
    expect(command.errors).toBe('')
    expect(isAlive(postmaster?.pid as number)).toBe(false)
    expect((await readdir(join(folder, '.pooler'))).sort()).toEqual(['data', 'pooler.log', 'postgres.log'])
    await expect(new Client({ connectionString: url }).connect()).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    })
  })

  test('PostgreSQL does not outlive two signals in a row', async () => {
    await clusterExists()
    const command = new Command('--port', String(await freePort()))
    await command.says('Ctrl-C stops both.')
    const postmaster = await readPostmasterFile(join(folder, '.pooler/data'))
    void command.end('SIGINT')
    await command.end('SIGINT')
    expect(isAlive(postmaster?.pid as number)).toBe(false)
  })

  test('a PostgreSQL that dies ends the pooler with exit code 1 and a sentence', async () => {
    await clusterExists()
    const command = new Command('--port', String(await freePort()))
    await command.says('Ctrl-C stops both.')
    const postmaster = await readPostmasterFile(join(folder, '.pooler/data'))
    process.kill(postmaster?.pid as number, 'SIGQUIT')
    expect(await command.exitCode()).toBe(1)
    expect(command.errors).toMatch(/^pooler: PostgreSQL ended by itself: .*postgres\.log says why\n$/)
  })

  test('a port in use is told before anything is made', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    expect(await refused('--port', String(port))).toEqual({
      exitCode: 1,
      errors: `pooler: port ${port} on 127.0.0.1 is in use: stop the program that listens there, or choose another one with --port`,
    })
    expect(await readdir(folder)).toEqual([])
    server.close()
  })
})

describe('a configuration file', () => {
  test('with mistakes is refused with a line for each of them', async () => {
    await writeFile(join(folder, 'pooler.toml'), '[pooler]\npool_mod = 1\nlisten_port = "high"\n')
    const { exitCode, errors } = await refused('--check')
    expect(exitCode).toBe(1)
    const [using, first, second, ...more] = errors.split('\n')
    expect(using).toBe('using pooler.toml of this folder')
    expect(first).toContain('pool_mod')
    expect(second).toContain('listen_port')
    expect(more).toEqual([])
  })

  test('without mistakes passes the check', async () => {
    await writeFile(join(folder, 'my.toml'), '[databases.app]\nhost = "127.0.0.1"\n')
    const command = new Command('--check', 'my.toml')
    expect(await command.exitCode()).toBe(0)
    expect(command.output).toBe('my.toml is valid\n')
  })

  test('passes the check only with all the files that a start reads', async () => {
    await writeFile(
      join(folder, 'my.toml'),
      `[pooler]
auth_type = "hba"
auth_hba_file = "pg_hba.conf"
auth_ident_file = "pg_ident.conf"
auth_file = "userlist.txt"
client_tls_sslmode = "require"
client_tls_key_file = "no.key"
client_tls_cert_file = "no.crt"
[databases.app]
server_tls_sslmode = "verify-full"
[databases.other]
auth_query = "SELECT 1"
[users.app]
password_file = "no.password"
[users.bob]
password = "SCRAM-SHA-256$oops"
`,
    )
    await writeFile(join(folder, 'pg_hba.conf'), 'host all all all trust\nhost all +ops all md5\nlocal x\n')
    await writeFile(join(folder, 'pg_ident.conf'), 'm /( x\n')
    await writeFile(join(folder, 'userlist.txt'), '"ann" "secret"\nbob secret\n')
    const { exitCode, errors } = await refused('--check', 'my.toml')
    expect(exitCode).toBe(1)
    expect(errors.replaceAll(`${folder}/`, '').split('\n')).toEqual([
      expect.stringMatching(/^pooler: users\.app\.password_file: cannot read no\.password: ENOENT/),
      expect.stringMatching(/^pooler: databases\.other\.auth_query: has no effect without an auth_user/),
      expect.stringMatching(/^pooler: pg_hba\.conf:2: "\+group" is not supported/),
      expect.stringMatching(/^pooler: pg_hba\.conf:3: the line ends before its user/),
      expect.stringMatching(/^pooler: pg_ident\.conf:1: invalid regular expression/),
      expect.stringMatching(/^pooler: userlist\.txt:2: expected "user" "password"/),
      expect.stringMatching(/^pooler: users\.bob\.password: the secret begins with SCRAM-SHA-256\$ but/),
      expect.stringMatching(/^pooler: server_tls_sslmode "verify-full" .* needs server_tls_ca_file/),
      expect.stringMatching(/^pooler: cannot read client_tls_key_file no\.key: ENOENT/),
      expect.stringMatching(/^pooler: cannot read client_tls_cert_file no\.crt: ENOENT/),
    ])
    // A start says the very same.
    expect((await refused('my.toml')).errors).toBe(errors)
  })

  test('of the current folder is used, and said so, where none is named', async () => {
    const toml = `[pooler]\nlisten_port = ${await freePort()}\nauth_type = "trust"\n[databases.app]\nhost = "127.0.0.1"\n`
    await writeFile(join(folder, 'pooler.toml'), toml)
    const command = new Command()
    await command.says('"level"')
    expect(await command.end('SIGTERM')).toBe(0)
    expect(command.errors).toBe('using pooler.toml of this folder\n')
    expect(await readdir(folder)).toEqual(['pooler.toml'])
  })

  test('is read again at SIGHUP', async () => {
    await writeFile(join(folder, 'my.toml'), `[pooler]\nlisten_port = ${await freePort()}\n[databases.app]\n`)
    const command = new Command('my.toml')
    await command.says('listening')
    command.signal('SIGHUP')
    await command.says('configuration read again')
    expect(await command.end('SIGTERM')).toBe(0)
  })

  test('that is missing is named', async () => {
    expect(await refused('missing.toml')).toEqual({
      exitCode: 1,
      errors: 'missing.toml: no such configuration file; check the path',
    })
  })
})

test('an unknown option is answered with one sentence and exit code 2', async () => {
  expect(await refused('--frobnicate')).toEqual({
    exitCode: 2,
    errors: `pooler: Unknown option '--frobnicate'; "pooler --help" lists the options`,
  })
})
