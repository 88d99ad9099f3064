/**
 * loadToml: a configuration file -> Config. The only file that imports the TOML parser; what the parser
 * gives is of unknown shape until config.ts has checked it. Called by the command line.
 */
import { dirname, resolve } from 'node:path'
import { parse } from 'toml'
import type { Config } from './config.ts'
import { readConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import { readConfigText } from './read-config-text.ts'

/**
 * Reads and checks a TOML 1.1 file. Relative paths in it start at its folder.
 * Throws a ConfigError: one problem if the file cannot be read as TOML, else every problem there is.
 */
export async function loadToml(path: string): Promise<Config> {
  const document = parseToml(path, await readConfigText(path))
  return readConfig(document, { file: path, folder: dirname(resolve(path)) })
}

function parseToml(path: string, text: string): unknown {
  try {
    return parse(text, { bigint: true })
  } catch (error) {
    throw problem(path, syntaxProblem(error))
  }
}

/**
 * The parser's own messages are not passed on: they quote what they found, which may be a part of a password.
 * Only those about a key that was written twice are safe, because they quote keys alone.
 */
function syntaxProblem(error: unknown): string {
  const at = `line ${position(error, 'line')}, column ${position(error, 'column')}`
  if (error instanceof Error && /^Cannot (redefine|extend|use|append)/.test(error.message)) {
    return `${at}: ${error.message.replace(/\.$/, '')}; write each key and each section once`
  }
  return `${at}: not valid TOML; a section is [pooler], a setting is key = value, and strings need quotes`
}

/** Errors of the grammar carry `location`, those of a wrong meaning carry `line` and `column` themselves. */
function position(error: unknown, coordinate: 'line' | 'column'): number | string {
  const { location, [coordinate]: own } = Object(error) as {
    location?: { start?: { line?: number; column?: number } }
    line?: number
    column?: number
  }
  return location?.start?.[coordinate] ?? own ?? '?'
}

function problem(file: string, message: string): ConfigError {
  return new ConfigError([{ file, key: '', message }])
}
