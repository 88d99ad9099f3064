/**
 * loadIni: a configuration file in PgBouncer's own format -> Config, with what has to be said about it. Called by
 * load-config.ts. An .ini means PgBouncer's defaults: pgbouncer-defaults.ts has the table.
 */
import type { Config } from './config.ts'
import { readConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import { inFileOrder } from './file-order.ts'
import type { IniInput } from './ini-input.ts'
import { readIniInput } from './ini-input.ts'
import { pgbouncerDefaults } from './pgbouncer-defaults.ts'

export interface LoadedConfig {
  readonly config: Config
  /** A line for each setting of the file that has no effect, with its place and the reason. */
  readonly notices: readonly string[]
  /** The files, of those that were read, in which passwords are written or may be. */
  readonly secretFiles: readonly string[]
}

/** Relative paths in it start at the working directory. Throws a ConfigError with every problem there is. */
export async function loadIni(path: string): Promise<LoadedConfig> {
  const input = await readIniInput(path)
  const notices = input.notices.map(({ place, text }) => `${place}: ${text}`)
  const places = [...input.databases.values()].flatMap((section) =>
    section.get('password') === undefined ? [] : [section.locate('password').file],
  )
  const secretFiles = new Set(places.map((place) => place.replace(/:\d+$/, '')))
  return { config: iniConfig(path, input), notices, secretFiles: [...secretFiles] }
}

/** Throws a ConfigError with what is wrong in the file and with its values, in the order of the file. */
export function iniConfig(path: string, { pooler, databases, users, problems }: IniInput): Config {
  const all = [...problems]
  const inputs = (sections: IniInput['users']): object =>
    Object.fromEntries([...sections].map(([name, section]) => [name, section.input]))
  let config: Config | undefined
  try {
    config = readConfig(
      { pooler: pooler.input, databases: inputs(databases), users: inputs(users) },
      {
        file: path,
        folder: process.cwd(),
        defaults: Object.fromEntries(
          Object.entries(pgbouncerDefaults).map(([name, { value }]) => [name, value]),
        ),
        locate: ([section, name, key]) => {
          const home = section === 'databases' ? databases : users
          if (section === 'pooler') return pooler.locate(name)
          return home.get(name ?? '')?.locate(key) ?? { file: path, key: '' }
        },
      },
    )
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    all.push(...error.problems)
  }
  if (config === undefined || all.length > 0) throw new ConfigError(inFileOrder(all, ({ file }) => file))
  return config
}
