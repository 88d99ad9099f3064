/**
 * Config: the settings of the process, frozen, replaced whole on a reload; and which setting wins where
 * several sections carry it. Built from a TOML file by load-toml.ts or from a plain object by buildConfig.
 */

import { checkAutoSize } from './check-auto-size.ts'
import { checkListening } from './check-listening.ts'
import type { ConfigProblem } from './config-error.ts'
import { ConfigError } from './config-error.ts'
import { nearestName } from './nearest-name.ts'
import type { Report } from './read-section.ts'
import { isTable, readSection, sectionsWith } from './read-section.ts'
import type { SettingsOf, WrittenSettings } from './settings.ts'

export type PoolerSettings = SettingsOf<'pooler'>
export type PoolMode = PoolerSettings['pool_mode']

/** One database as clients know it: `name` is what they ask for, `dbname` what the server calls it. */
export interface DatabaseConfig extends Omit<SettingsOf<'database'>, 'dbname'> {
  readonly name: string
  readonly dbname: string
}

export interface UserConfig extends SettingsOf<'user'> {
  readonly name: string
}

export interface Config {
  readonly pooler: PoolerSettings
  /** What [pooler] holds where nothing is written: other values in a file of PgBouncer's than in a pooler.toml. */
  readonly defaults: PoolerSettings
  /** The databases that have a section of their own. Look names up with findDatabase. */
  readonly databases: ReadonlyMap<string, DatabaseConfig>
  /** [databases."*"]: stands in for every name without a section; `dbname` undefined means that name. */
  readonly fallbackDatabase: SettingsOf<'database'> | undefined
  readonly users: ReadonlyMap<string, UserConfig>
}

/** A configuration as a plain object of the same shape as the TOML file. */
export interface ConfigInput {
  readonly pooler?: WrittenSettings<'pooler'>
  readonly databases?: { readonly [name: string]: WrittenSettings<'database'> | undefined }
  readonly users?: { readonly [name: string]: WrittenSettings<'user'> | undefined }
}

/** Where a configuration came from: its name in problems, and the folder that relative paths start at. */
export interface ConfigOrigin {
  readonly file: string
  readonly folder: string
  /** Where the key of a path was written and what it is called there, for files in another dialect. */
  readonly locate?: (path: readonly string[]) => Pick<ConfigProblem, 'file' | 'key'>
  /** What holds in [pooler] where nothing is written, where that is not what the table of settings says. */
  readonly defaults?: object
}

const FallbackName = '*'
/** Names that clients use for the admin console (PgBouncer's and ours): never a database. */
const ReservedNames: ReadonlySet<string> = new Set(['pgbouncer', 'pooler'])
const SectionNames = ['pooler', 'databases', 'users']

/**
 * Builds a Config from a plain object; relative paths start at the working directory.
 * Throws a ConfigError with every problem there is.
 */
export function buildConfig(input: ConfigInput): Config {
  return readConfig(input, { file: 'configuration', folder: process.cwd() })
}

/** The Config of an empty file: all defaults, no database, no user. */
export function defaultConfig(): Config {
  return buildConfig({})
}

/**
 * Checks a value of unknown shape and builds the Config from it.
 * Throws a ConfigError with every problem there is, in the order in which sections and keys first appear.
 */
export function readConfig(
  input: unknown,
  { file, folder, locate, defaults: otherDefaults = {} }: ConfigOrigin,
): Config {
  const problems: ConfigProblem[] = []
  const report: Report = (path, message) =>
    problems.push({ ...(locate?.(path) ?? { file, key: keyPath(path) }), message })
  const defaults = readSection('pooler', ['pooler'], otherDefaults, folder, report)
  let pooler = defaults
  const databases = new Map<string, DatabaseConfig>()
  const users = new Map<string, UserConfig>()
  let fallbackDatabase: SettingsOf<'database'> | undefined

  if (!isTable(input)) report([], 'expected a table with the sections pooler, databases and users')
  for (const [section, value] of Object.entries(isTable(input) ? input : {})) {
    if (value === undefined) continue
    if (!SectionNames.includes(section)) {
      report([section], unknownSection(section))
    } else if (!isTable(value)) {
      report([section], section === 'pooler' ? 'expected a section: [pooler]' : expectedNames(section))
    } else if (section === 'pooler') {
      pooler = readSection('pooler', [section], value, folder, report)
    } else {
      for (const [name, written] of namedTables(section, value, report)) {
        if (section === 'users') {
          const user = readSection('user', [section, name], written, folder, report)
          users.set(name, Object.freeze({ ...user, name }))
          continue
        }
        const database = readDatabase(name, written, folder, report)
        if (name === FallbackName) fallbackDatabase = database
        else databases.set(name, Object.freeze({ ...database, name, dbname: database.dbname ?? name }))
      }
    }
  }
  checkListening(pooler, report)
  checkAutoSize({ pooler, databases, fallbackDatabase, users }, report)
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze({ pooler, defaults, databases, fallbackDatabase, users })
}

function* namedTables(section: string, value: object, report: Report): Generator<[string, object]> {
  for (const [name, written] of Object.entries(value)) {
    if (written === undefined) continue
    // The wire protocol carries names as strings that end at the first zero byte.
    if (name === '' || name.includes('\0')) report([section, name], 'expected a name without zero bytes')
    else if (!isTable(written)) report([section, name], expectedTable(section))
    else yield [name, written]
  }
}

function readDatabase(name: string, written: object, folder: string, report: Report): SettingsOf<'database'> {
  const path = ['databases', name]
  if (ReservedNames.has(name)) {
    report(path, 'reserved for the admin console; give the section another name and set dbname')
  }
  const database = readSection('database', path, written, folder, report)
  if (database.password !== undefined && database.user === undefined && !('user' in written)) {
    report([...path, 'password'], 'expected a user beside it: without a forced user it would never be used')
  }
  return database
}

function expectedNames(section: string): string {
  return `expected a section with a name: [${section}.NAME]`
}

function expectedTable(section: string): string {
  return `expected its settings below a header of its own: [${section}.NAME]`
}

function unknownSection(name: string): string {
  const home = sectionsWith(name)
  if (home !== '') return `a setting needs a section; write it below ${home}`
  if (name === 'pgbouncer') return 'unknown section; it is called [pooler] here'
  const near = nearestName(name, SectionNames)
  if (near === 'pooler') return 'unknown section; did you mean [pooler]?'
  if (near !== undefined) return `unknown section; did you mean [${near}.NAME]?`
  return 'unknown section; there are [pooler], [databases.NAME] and [users.NAME]'
}

/** A path as TOML writes it: parts that are not bare keys are quoted. */
export function keyPath(path: readonly string[]): string {
  return path.map((part) => (/^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part))).join('.')
}

/** True for the names of the admin console. */
export function isConsole(database: string): boolean {
  return ReservedNames.has(database)
}

/**
 * The database that a client means by this name: its own section, else [databases."*"] with the name filled
 * in, else undefined. Reserved names are never databases.
 */
export function findDatabase(config: Config, name: string): DatabaseConfig | undefined {
  const listed = config.databases.get(name)
  if (listed !== undefined) return listed
  const fallback = config.fallbackDatabase
  if (fallback === undefined || ReservedNames.has(name)) return undefined
  return asFallback(fallback, name)
}

/** What the names of [databases."*"] stand for, by its section: it is asked for at every login. */
const fallbacks = new WeakMap<SettingsOf<'database'>, Map<string, DatabaseConfig>>()
/** Clients can make up any name. */
const MAX_FALLBACKS = 1000

function asFallback(fallback: SettingsOf<'database'>, name: string): DatabaseConfig {
  const known = fallbacks.get(fallback) ?? new Map<string, DatabaseConfig>()
  fallbacks.set(fallback, known)
  let database = known.get(name)
  if (database === undefined) {
    if (known.size >= MAX_FALLBACKS) known.clear()
    database = Object.freeze({ ...fallback, name, dbname: fallback.dbname ?? name })
    known.set(name, database)
  }
  return database
}
