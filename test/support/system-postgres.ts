import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { appendFile, chmod, chown, cp, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import { runProgram } from '../../src/embedded/child-process.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { unprivilegedUser } from '../../src/embedded/unprivileged-user.ts'
import { query, type Row } from './test-cluster.ts'

/**
 * SystemPostgres: a server of the PostgreSQL that the machine itself has installed, for tests of tools that come with
 * it and refuse servers of a newer version. Lives in the folder of the run, where abandoned servers are ended.
 */

/** Folder of the machine's own PostgreSQL programs; undefined, with the reason on the console, if one of `programs` is missing. */
export function systemPrograms(programs: readonly string[]): string | undefined {
  let folder: string
  try {
    folder = execFileSync('pg_config', ['--bindir'], { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return missing('pg_config')
  }
  const absent = programs.find((program) => !existsSync(join(folder, program)))
  return absent === undefined ? folder : missing(absent)
}

function missing(program: string): undefined {
  // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
  console.warn(`${program} of a PostgreSQL server is not installed here: its tests do not run`)
}

export class SystemPostgres {
  readonly host = '127.0.0.1'
  readonly user = 'postgres'
  readonly port: number
  readonly folder: string
  readonly #programs: string

  private constructor(programs: string, folder: string, port: number) {
    this.#programs = programs
    this.folder = folder
    this.port = port
  }

  /** A new cluster with these settings, where everybody on this machine is trusted. */
  static async create(programs: string, settings: Readonly<Record<string, string>>): Promise<SystemPostgres> {
    const server = await SystemPostgres.#place(programs)
    await server.#run('initdb', [
      '--pgdata',
      server.dataFolder,
      '--username=postgres',
      '--auth=trust',
      '--wal-segsize=1',
      '--no-sync',
    ])
    return server.#start({ fsync: 'off', ...settings })
  }

  /** A server on a copy of `backup`, which must have been made for it: a standby. */
  static async onBackup(programs: string, backup: string): Promise<SystemPostgres> {
    const server = await SystemPostgres.#place(programs)
    await cp(backup, server.dataFolder, { recursive: true })
    await server.#own(server.dataFolder)
    return server.#start({})
  }

  static async #place(programs: string): Promise<SystemPostgres> {
    const folder = join(inject('postgresRunFolder'), randomUUID())
    await mkdir(folder)
    const server = new SystemPostgres(programs, folder, await freePort())
    await server.#own(folder)
    return server
  }

  get dataFolder(): string {
    return join(this.folder, 'data')
  }

  query(sql: string, database = 'postgres'): Promise<Row[]> {
    return query({ host: this.host, port: this.port, user: this.user, database }, sql)
  }

  async stop(): Promise<void> {
    await this.#run('pg_ctl', ['stop', '--pgdata', this.dataFolder, '--mode=immediate', '--wait'])
    await rm(this.folder, { recursive: true, force: true })
  }

  async #start(settings: Readonly<Record<string, string>>): Promise<this> {
    const own = {
      port: String(this.port),
      listen_addresses: this.host,
      unix_socket_directories: '',
      ...settings,
    }
    const lines = Object.entries(own).map(([name, value]) => `${name} = '${value}'\n`)
    await appendFile(join(this.dataFolder, 'postgresql.conf'), lines.join(''))
    const log = join(this.folder, 'postgres.log')
    await this.#run('pg_ctl', ['start', '--pgdata', this.dataFolder, '--log', log, '--wait'])
    return this
  }

  /** PostgreSQL does not run as root, and reads nothing that others may read. */
  async #own(folder: string): Promise<void> {
    const user = await unprivilegedUser()
    await chmod(folder, 0o700)
    if (user === null) return
    await runProgram('chown', ['-R', `${user.uid}:${user.gid}`, folder], { user: null })
    await chown(folder, user.uid, user.gid)
  }

  async #run(program: string, parameters: readonly string[]): Promise<void> {
    const { exitCode, output } = await runProgram(join(this.#programs, program), parameters, {
      user: await unprivilegedUser(),
    })
    if (exitCode !== 0) throw new Error(`${program} failed: ${output}`)
  }
}
