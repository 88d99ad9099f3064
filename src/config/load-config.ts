/**
 * loadConfig: a configuration file in either format -> Config. Called by the command line, at start and on reload.
 */
import { extname } from 'node:path'
import { type LoadedConfig, loadIni } from './load-ini.ts'
import { loadToml } from './load-toml.ts'
import { readConfigText } from './read-config-text.ts'

/** A line that only PgBouncer's format has; the [pgbouncer] of a file called .toml is a mistake that TOML reports. */
const PGBOUNCER_SECTION = /^[ \t]*\[pgbouncer\]/m

/** Throws a ConfigError with every problem there is. */
export async function loadConfig(path: string): Promise<LoadedConfig> {
  if (await isIni(path)) return loadIni(path)
  return { config: await loadToml(path), notices: [], secretFiles: [path] }
}

async function isIni(path: string): Promise<boolean> {
  const extension = extname(path).toLowerCase()
  if (extension === '.ini' || extension === '.toml') return extension === '.ini'
  return PGBOUNCER_SECTION.test(await readConfigText(path))
}
