import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join, resolve } from 'node:path'
import { programEnvironment } from './child-process.ts'
import { initialise, isInitialised, ownerOf } from './data-folder.ts'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'
import { freePort, isPortFree } from './free-port.ts'
import { InheritedPaths } from './inherited-paths.ts'
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts'
import { stopAbandoned, waitUntilReady } from './postmaster.ts'
import { reachableBinaries } from './reachable-binaries.ts'
import { ServerLog } from './server-log.ts'
import { type UnprivilegedUser, unprivilegedUser } from './unprivileged-user.ts'

/**
 * EmbeddedPostgres: a real PostgreSQL server as a child process, behind a start without configuration and
 * behind the test clusters. It owns the child and its watchdog; everything that lasts is in the folder:
 * data/ (the cluster), postgres.log, owner.pid (the process that started the server).
 */

export interface EmbeddedPostgresOptions {
  /** Where data/, postgres.log and owner.pid live; made if it is missing. */
  readonly folder: string
  /** TCP port on 127.0.0.1; without it the first start chooses a free one. */
  readonly port?: number
  /** Superuser and its password: used when the cluster is made, both "postgres" by default. */
  readonly user?: string
  readonly password?: string
  /** Folder of a unix socket; none by default. */
  readonly socketFolder?: string
  /** Server parameters that win over postgresql.conf: { fsync: 'off' }. */
  readonly settings?: Readonly<Record<string, string>>
  /** Method of pg_hba.conf in a new cluster, "scram-sha-256" by default. */
  readonly authentication?: string
  /** Further parameters for initdb. */
  readonly initdbParameters?: readonly string[]
}

const HOST = '127.0.0.1'
const FAST_SHUTDOWN_MS = 10_000
const IMMEDIATE_SHUTDOWN_MS = 5_000
const PORT_ATTEMPTS = 5

export class EmbeddedPostgres {
  readonly host = HOST
  readonly user: string
  readonly password: string
  readonly folder: string
  readonly dataFolder: string
  readonly #options: EmbeddedPostgresOptions
  readonly #log: ServerLog
  #child: ChildProcess | null = null
  #watchdog: ChildProcess | null = null
  #exited: Promise<void> = Promise.resolve()
  #port = 0

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options
    this.user = options.user ?? 'postgres'
    this.password = options.password ?? 'postgres'
    this.folder = resolve(options.folder)
    this.dataFolder = join(this.folder, 'data')
    this.#log = new ServerLog(join(this.folder, 'postgres.log'))
  }

  /** The port of the running server; 0 before the first start. */
  get port(): number {
    return this.#port
  }

  /** The process number of the running server, undefined when it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Settles when the server that was started last has ended, for whatever reason; never rejects. */
  get exited(): Promise<void> {
    return this.#exited
  }

  get logFile(): string {
    return this.#log.path
  }

  /** Connection URL; without `database` that of the database "postgres". */
  url(database = 'postgres'): string {
    const [user, password] = [this.user, this.password].map(encodeURIComponent)
    return `postgres://${user}:${password}@${this.host}:${this.port}/${encodeURIComponent(database)}`
  }

  /**
   * Makes the cluster if there is none, starts the server and waits until it accepts connections.
   * @throws EmbeddedPostgresError, one sentence for each thing that can be wrong
   */
  async start(): Promise<void> {
    if (this.#child !== null) throw new EmbeddedPostgresError(`PostgreSQL runs already on ${this.dataFolder}`)
    const fixedPort = this.#options.port ?? (this.#port === 0 ? undefined : this.#port)
    // Looked at before the work of making a cluster; PostgreSQL itself has the last word.
    if (fixedPort !== undefined && !(await isPortFree(fixedPort))) throw portInUse(fixedPort)
    const { binaries, user } = await this.#prepare()
    for (let attempt = 1; ; attempt++) {
      this.#port = fixedPort ?? (await freePort())
      if (await this.#launch(binaries, user)) return
      const words = await this.#log.failure(this.dataFolder)
      if (!words.includes('could not bind')) {
        throw new EmbeddedPostgresError(
          `PostgreSQL did not start on ${this.dataFolder}: ${words} (more in ${this.#log.path})`,
        )
      }
      // Between the look and PostgreSQL's bind another program took the port.
      if (fixedPort !== undefined || attempt === PORT_ATTEMPTS) throw portInUse(this.#port)
    }
  }

  /**
   * Ends the server: a fast shutdown (sessions are cut, the cluster is written out), after 10 seconds an
   * immediate one. "immediate" at once is like a crash: the next start recovers from the WAL.
   */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = this.#child
    if (child === null) return
    const signals = [
      ...(mode === 'fast' ? [['SIGINT', FAST_SHUTDOWN_MS] as const] : []),
      ['SIGQUIT', IMMEDIATE_SHUTDOWN_MS] as const,
    ]
    for (const [signal, patienceMs] of signals) {
      child.kill(signal)
      if (await settlesWithin(this.#exited, patienceMs)) return
    }
    throw new EmbeddedPostgresError(
      `PostgreSQL (process number ${child.pid}) on ${this.dataFolder} does not stop: end it by hand`,
    )
  }

  async #prepare(): Promise<{ binaries: PostgresBinaries; user: UnprivilegedUser | null }> {
    const found = await findPostgresBinaries()
    const user = await unprivilegedUser()
    const binaries = await reachableBinaries(found, user)
    // One level only: the parent of a mistyped path should not come into being.
    await mkdir(this.folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return
      throw new EmbeddedPostgresError(
        `the folder ${this.folder} cannot be made (${error.code}): choose another one with --data`,
        error,
      )
    })
    if (!(await isInitialised(this.dataFolder, binaries))) {
      await initialise(this.dataFolder, binaries, user, {
        superuser: this.user,
        password: this.password,
        authentication: this.#options.authentication ?? 'scram-sha-256',
        ...(this.#options.initdbParameters === undefined
          ? {}
          : { parameters: this.#options.initdbParameters }),
      })
    }
    const owner = await ownerOf(this.dataFolder, user)
    await stopAbandoned(this.dataFolder, await this.#recordedOwner())
    return { binaries, user: owner }
  }

  /** Starts the child; true when it accepts connections, false when it ended before. */
  async #launch(binaries: PostgresBinaries, user: UnprivilegedUser | null): Promise<boolean> {
    const log = await this.#log.open()
    const paths = new InheritedPaths(user)
    try {
      const parameters = await this.#parameters(paths)
      await writeFile(this.#ownerFile, `${process.pid}\n`)
      const child = spawn(binaries.postgres, parameters, {
        cwd: '/',
        env: programEnvironment(),
        // Its own process group: Ctrl-C in the terminal must reach us alone, we stop the server in order.
        detached: true,
        stdio: ['ignore', log.fd, log.fd, ...paths.descriptors],
        ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
      })
      this.#follow(child)
      if (child.pid === undefined) {
        await this.#exited
        return false
      }
      this.#watchdog = watch(child.pid, user)
      return await waitUntilReady(this.dataFolder, child.pid, this.#exited)
    } finally {
      await paths.close()
      await log.close()
    }
  }

  async #parameters(paths: InheritedPaths): Promise<string[]> {
    const settings = {
      listen_addresses: HOST,
      port: String(this.#port),
      unix_socket_directories: this.#options.socketFolder ?? '',
      // The log goes to the file that we opened, whatever postgresql.conf says.
      logging_collector: 'off',
      log_destination: 'stderr',
      ...this.#options.settings,
    }
    const parameters = ['-D', await paths.add(this.dataFolder)]
    for (const [name, value] of Object.entries(settings)) parameters.push('-c', `${name}=${value}`)
    return parameters
  }

  #follow(child: ChildProcess): void {
    this.#child = child
    this.#exited = new Promise((settle) => {
      const ended = async () => {
        this.#child = null
        await this.#dismissWatchdog()
        await rm(this.#ownerFile, { force: true }).catch(() => {})
        settle()
      }
      child.once('exit', ended)
      child.once('error', (error) => {
        this.#log.launchError = error
        if (child.pid === undefined) void ended()
      })
    })
  }

  /** Tells the watchdog that there is nothing left to guard, and waits until it has gone. */
  async #dismissWatchdog(): Promise<void> {
    const watchdog = this.#watchdog
    this.#watchdog = null
    if (watchdog === null || watchdog.pid === undefined || watchdog.exitCode !== null) return
    const gone = once(watchdog, 'exit')
    watchdog.stdin?.end('stopped\n')
    await gone
  }

  get #ownerFile(): string {
    return join(this.folder, 'owner.pid')
  }

  async #recordedOwner(): Promise<number | null> {
    const pid = Number(await readFile(this.#ownerFile, 'utf8').catch(() => ''))
    return Number.isInteger(pid) && pid > 0 ? pid : null
  }
}

/**
 * If this process is killed, nobody would stop the server. A shell with a pipe from us waits for the pipe to
 * close, which the system does whatever ends us, and then asks the server for a fast shutdown. A line on the pipe
 * sends the shell home instead.
 */
function watch(pid: number, user: UnprivilegedUser | null): ChildProcess {
  const watchdog = spawn(
    '/bin/sh',
    ['-c', 'read -r line || kill -INT "$1"', 'pooler-watchdog', String(pid)],
    {
      cwd: '/',
      env: programEnvironment(),
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    },
  )
  // Without a shell there is no watchdog; the next start then finds and stops what was left behind.
  watchdog.once('error', () => {})
  watchdog.stdin?.once('error', () => {})
  watchdog.unref()
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref()
  return watchdog
}

function portInUse(port: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `port ${port} on ${HOST} is in use: stop the program that listens there, or choose another port`,
  )
}

async function settlesWithin(promise: Promise<void>, patienceMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<boolean>((settle) => {
    timer = setTimeout(settle, patienceMs, false)
  })
  try {
    return await Promise.race([promise.then(() => true), patience])
  } finally {
    clearTimeout(timer)
  }
}
