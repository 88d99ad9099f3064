/**
 * readIniEntries: a file in PgBouncer's dialect of ini -> its entries in their order, those of included files in
 * the place of the %include. Called by ini-input.ts; knows no setting. Source: PgBouncer's documentation, file format.
 *
 * Comments (; and #) begin where an entry could; a value is the rest of its line without blanks at its end. Nothing is
 * quoted but keys. A section goes on in an included file, and the last section of that goes on after it.
 */
import type { ConfigProblem } from './config-error.ts'
import { ConfigError } from './config-error.ts'
import { readConfigText } from './read-config-text.ts'

export interface IniEntry {
  readonly section: string
  /** undefined for the header of the section itself, so that an empty section is known, too. */
  readonly key: string | undefined
  readonly value: string
  /** The file as it was named, and the line. */
  readonly place: string
}

const MAX_DEPTH = 10
/** Blanks are C's: a value may end with any other space of Unicode, and lines end with line feeds alone. */
const OUTER_BLANKS = /^[ \t\v\f\r]+|[ \t\v\f\r]+$/g
const INCLUDE = /^%include[ \t]+(.*)$/s
const SECTION = /^\[([^\]]*)\](.*)$/s
/** 'a''b', "a""b", or letters, digits and _ . - * as they are. */
const KEY_AND_VALUE = /^(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([\p{L}\p{N}_.*-]+))[ \t]*=(.*)$/su

/** Problems are added to `problems`; what is wrong is left out, so that reading can go on. */
export async function readIniEntries(path: string, problems: ConfigProblem[]): Promise<IniEntry[]> {
  const entries: IniEntry[] = []
  /** Of the entry that comes next; undefined before the first section. */
  let section: string | undefined

  const readFile = async (file: string, named: string | undefined, depth: number): Promise<void> => {
    const text = await readConfigText(file).catch((error: unknown) => {
      if (!(error instanceof ConfigError)) throw error
      // What the operator has to look at is the line that names the file.
      for (const { message } of error.problems)
        problems.push(named === undefined ? { file, key: '', message } : included(named, file, message))
    })
    if (text === undefined) return
    for (const [index, line] of text.split('\n').entries()) {
      await readLine(trim(line), `${file}:${index + 1}`, depth)
    }
  }

  const readLine = async (line: string, place: string, depth: number): Promise<void> => {
    if (line === '' || line.startsWith(';') || line.startsWith('#')) return
    const include = INCLUDE.exec(line)?.[1]
    if (include !== undefined) {
      // Relative to the working directory, not to the file that has the line: as PgBouncer.
      if (depth < MAX_DEPTH) await readFile(include, place, depth + 1)
      else
        problems.push(
          included(place, include, `files are included more than ${MAX_DEPTH} deep; is it a circle?`),
        )
      return
    }
    const header = SECTION.exec(line)
    if (header !== null) {
      section = header[1] ?? ''
      entries.push({ section, key: undefined, value: '', place })
      await readLine(trim(header[2] ?? ''), place, depth)
      return
    }
    const entry = KEY_AND_VALUE.exec(line)
    if (entry === null) {
      problems.push({
        file: place,
        key: '',
        message: 'expected [section], key = value, ; comment or %include file',
      })
    } else if (section === undefined) {
      problems.push({
        file: place,
        key: '',
        message: 'a setting needs a section; write [pgbouncer] above it',
      })
    } else {
      const [, single, double, bare] = entry
      const key = single?.replaceAll("''", "'") ?? double?.replaceAll('""', '"') ?? bare ?? ''
      entries.push({ section, key, value: trim(entry[4] ?? ''), place })
    }
  }

  await readFile(path, undefined, 0)
  return entries
}

function included(place: string, file: string, message: string): ConfigProblem {
  return { file: place, key: '', message: `%include ${file}: ${message}` }
}

function trim(text: string): string {
  return text.replace(OUTER_BLANKS, '')
}
