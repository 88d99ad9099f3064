#!/usr/bin/env node
import { existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { COMPATIBLE_VERSION } from './admin/compatible-version.ts'
import { readStartupFiles } from './client/startup-files.ts'
import type { CommandLine } from './command-line.ts'
import { parseCommandLine, UsageError, usage } from './command-line.ts'
import type { Config } from './config/config.ts'
import { buildConfig } from './config/config.ts'
import { ConfigError } from './config/config-error.ts'
import { importToml } from './config/import-toml.ts'
import { loadConfig } from './config/load-config.ts'
import type { LoadedConfig } from './config/load-ini.ts'
import { minimumWarnings } from './config/minimum-warnings.ts'
import { secretFileWarnings } from './config/secret-file-warnings.ts'
import { version } from './config/version.ts'
import { ControlSignals } from './control/control-signals.ts'
import { EmbeddedPostgres } from './embedded/embedded-postgres.ts'
import { EmbeddedPostgresError } from './embedded/embedded-postgres-error.ts'
import { isPortFree } from './embedded/free-port.ts'
import { PoolerError } from './errors.ts'
import { createLogger } from './log.ts'
import { openFileLimit } from './net/open-file-limit.ts'
import { Pooler } from './pooler.ts'
import { Service } from './process/service.ts'
import { keepYoungGenerationSmall } from './process/small-young-generation.ts'
import { becomeUser, warnOfRoot } from './process/unix-account.ts'
import { runTop } from './top/run-top.ts'
import { isUrl, targetOfConfig, targetOfUrl } from './top/top-target.ts'

/**
 * The command `pooler`: parameters in, exit code out. Chooses between a configuration file and the embedded
 * PostgreSQL, starts, and stops in order when a signal asks for it. Exit codes: 0 stopped as asked, 1 something
 * is wrong (one sentence on standard error), 2 wrong parameters.
 */

type StartCommand = Extract<CommandLine, { readonly command: 'start' | 'check' }>

const DEFAULT_CONFIG_FILE = 'pooler.toml'
const DEFAULT_FOLDER = '.pooler'
const DEFAULT_PORT = 6432
const HOST = '127.0.0.1'

async function main(parameters: readonly string[]): Promise<number> {
  const line = parseCommandLine(parameters)
  if (line.command === 'help') {
    process.stdout.write(usage)
    return 0
  }
  if (line.command === 'version') {
    console.log(`pooler ${version}`)
    return 0
  }
  if (line.command === 'import') {
    process.stdout.write(await importToml(line.configFile))
    return 0
  }
  if (line.command === 'top') {
    const { target = DEFAULT_CONFIG_FILE, once } = line
    const console = isUrl(target)
      ? targetOfUrl(target, process.env)
      : targetOfConfig((await loadConfig(target)).config, process.env)
    await runTop(console, once, process.stdin, process.stdout)
    return 0
  }
  const configFile = line.configFile ?? configFileOfFolder(line)
  if (configFile === undefined) {
    if (line.user !== undefined)
      throw new UsageError('--user is for a start with a configuration file; without one, start as that user')
    return startEmbedded(line)
  }
  const loaded = await loadConfig(configFile)
  if (line.command === 'check') {
    for (const notice of loaded.notices) console.error(`note: ${notice}`)
    const files = await readStartupFiles(loaded.config)
    for (const warning of [
      ...minimumWarnings(files.config),
      ...(await secretFileWarnings(files.config, loaded.secretFiles)),
    ])
      console.error(`warning: ${warning}`)
    console.log(`${configFile} is valid`)
    return 0
  }
  return startConfigured(loaded, configFile, line)
}

/** The pooler.toml of the current folder, unless the parameters ask for the embedded PostgreSQL. */
function configFileOfFolder(line: StartCommand): string | undefined {
  if (line.port !== undefined || line.dataFolder !== undefined) return undefined
  if (existsSync(DEFAULT_CONFIG_FILE)) {
    // On standard error: standard output belongs to the log.
    console.error(`using ${DEFAULT_CONFIG_FILE} of this folder`)
    return DEFAULT_CONFIG_FILE
  }
  if (line.command === 'check') {
    throw new UsageError(`--check needs a configuration file, and there is no ${DEFAULT_CONFIG_FILE} here`)
  }
  return undefined
}

async function startConfigured(
  loaded: LoadedConfig,
  configFile: string,
  line: StartCommand,
): Promise<number> {
  const { config } = loaded
  const { quiet, verbose } = line
  const logger = createLogger({ level: config.pooler.log_level, quiet, verbose })
  const { log, flush } = logger
  const user = line.user ?? config.pooler.user
  if (user !== undefined) await becomeUser(user)
  // The logfile is this user's.
  logger.configure(config.pooler)
  const told = new Set<string>()
  /** Once each, however often the file is read again. */
  const tell = (lines: readonly string[]): void => {
    for (const text of lines) if (!told.has(text)) log.info(text)
    for (const text of lines) told.add(text)
  }
  const source = {
    secretFiles: loaded.secretFiles,
    async load(): Promise<Config> {
      const { config, notices, secretFiles } = await loadConfig(configFile)
      tell(notices)
      source.secretFiles = secretFiles
      return config
    },
  }
  warnOfRoot(log)
  tell(loaded.notices)
  const service = await Service.enter(config, openFileLimit(), log)
  const pooler = new Pooler(config, logger, source)
  const signals = new ControlSignals(pooler, service, log)
  try {
    await pooler.start()
    const tls = `OpenSSL ${process.versions.openssl}`
    log.info({ pgbouncer: COMPATIBLE_VERSION, version, node: process.version, tls }, 'process up')
    const { host, port } = pooler.address
    service.ready(`accepting clients on ${host}, port ${port}`)
    await signals.ended
    return 0
  } finally {
    await service.leave()
    await flush()
  }
}

async function startEmbedded(line: StartCommand): Promise<number> {
  const port = line.port ?? DEFAULT_PORT
  if (!(await isPortFree(port))) throw new EmbeddedPostgresError(portInUse(port))
  const signals = new StopSignals('SIGINT', 'SIGTERM', 'SIGHUP')
  const postgres = new EmbeddedPostgres({ folder: line.dataFolder ?? DEFAULT_FOLDER })
  signals.onSecond(async () => {
    await postgres.stop('immediate').catch(reportError)
    process.exit(1)
  })
  try {
    await postgres.start()
    // Asked to stop while PostgreSQL was starting: there is nobody yet to announce it to.
    if (signals.received) return 0
    return await startInFrontOf(postgres, port, line, signals)
  } catch (error) {
    // Ctrl-C reaches initdb too, and its complaint about that is no news.
    if (signals.received) return 0
    throw error
  } finally {
    await postgres.stop()
  }
}

async function startInFrontOf(
  postgres: EmbeddedPostgres,
  port: number,
  line: StartCommand,
  signals: StopSignals,
): Promise<number> {
  const logFile = join(postgres.folder, 'pooler.log')
  const { log, flush } = createLogger(
    line.verbose > 0
      ? { level: 'info', verbose: line.verbose }
      : { level: 'info', fd: openSync(logFile, 'a', 0o600) },
  )
  const pooler = new Pooler(embeddedConfig(postgres, port), log)
  try {
    await pooler.start()
    announce(postgres, port, line.verbose > 0 ? 'standard output' : logFile)
    const reason = await Promise.race([
      signals.first.then(() => 'signal' as const),
      postgres.exited.then(() => 'PostgreSQL ended' as const),
    ])
    await pooler.stop()
    if (reason === 'signal') return 0
    throw new EmbeddedPostgresError(`PostgreSQL ended by itself: ${postgres.logFile} says why`)
  } finally {
    await flush()
  }
}

function embeddedConfig(postgres: EmbeddedPostgres, port: number): Config {
  const { host, user, password } = postgres
  return buildConfig({
    pooler: { listen_addr: HOST, listen_port: port, auth_type: 'scram-sha-256' },
    databases: { '*': { host, port: postgres.port } },
    users: { [user]: { password } },
  })
}

function announce(postgres: EmbeddedPostgres, port: number, log: string): void {
  const url = `postgres://${postgres.user}:${postgres.password}@${HOST}:${port}/postgres`
  console.log(`PostgreSQL runs on ${HOST}:${postgres.port}, data in ${postgres.dataFolder}`)
  console.log(`The pooler in front of it runs on ${HOST}:${port}, log in ${log}`)
  console.log()
  console.log(`  Connect:  ${url}`)
  console.log(`  Try:      psql "${url}" -c "SELECT version()"`)
  console.log()
  console.log('Ctrl-C stops both.')
}

/** The signals that ask for an orderly stop; a second one, at any time, asks for a quick one. */
class StopSignals {
  readonly first: Promise<void>
  received = false
  #onSecond: () => void = () => {}

  constructor(...names: NodeJS.Signals[]) {
    this.first = new Promise((resolve) => {
      const handle = () => {
        if (this.received) return this.#onSecond()
        this.received = true
        resolve()
      }
      for (const name of names) process.on(name, handle)
    })
  }

  onSecond(act: () => void): void {
    this.#onSecond = act
  }
}

/** A sentence, or a line per problem, for what an operator can put right; a stack for what only we can. */
function reportError(error: unknown): void {
  if (error instanceof ConfigError) console.error(error.message)
  else if (isExpected(error)) console.error(error.message.replaceAll(/^/gm, 'pooler: '))
  else console.error(error)
}

function isExpected(error: unknown): error is Error {
  return [UsageError, EmbeddedPostgresError, PoolerError].some((type) => error instanceof type)
}

function portInUse(port: number): string {
  return `port ${port} on ${HOST} is in use: stop the program that listens there, or choose another one with --port`
}

keepYoungGenerationSmall()
main(process.argv.slice(2)).then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    reportError(error)
    process.exit(error instanceof UsageError ? 2 : 1)
  },
)
