import { dirname, isAbsolute, join } from 'node:path'
import { type AccessFileProblems, AccessLineError } from './access-file-problems.ts'
import type { AccessFiles } from './access-files.ts'
import { type Field, splitFields, type Token } from './access-tokens.ts'

/**
 * AccessFileReader: the lines of pg_hba.conf or pg_ident.conf, those of included files in their place and the
 * values of @files in their field. parseHba and parseIdent make one each and hand its lines to their own
 * parser. It owns which files are open, so that a file that includes itself is an error.
 * Source: PostgreSQL documentation, "The pg_hba.conf File".
 */

/** As deep as PostgreSQL follows includes. */
const MAX_DEPTH = 10

export type LineParser = (fields: readonly Field[], path: string, line: number) => void

export class AccessFileReader {
  readonly #files: AccessFiles
  readonly #problems: AccessFileProblems
  readonly #parse: LineParser
  readonly #open: string[] = []

  /** `parse` gets each line that has fields; an AccessLineError that it throws becomes a problem. */
  constructor(files: AccessFiles, problems: AccessFileProblems, parse: LineParser) {
    this.#files = files
    this.#problems = problems
    this.#parse = parse
  }

  read(text: string, path: string): void {
    this.#open.push(path)
    for (const { content, line } of logicalLines(text)) {
      try {
        const fields = this.#fields(content, path)
        if (fields.length === 0) continue
        const directive = fields[0]?.[0]
        if (directive !== undefined && isInclude(directive)) this.#include(directive.text, fields, path)
        else this.#parse(fields, path, line)
      } catch (error) {
        if (!(error instanceof AccessLineError)) throw error
        this.#problems.add(path, line, error.message)
      }
    }
    this.#open.pop()
  }

  #fields(content: string, path: string): Field[] {
    if (content.includes('\0')) throw new AccessLineError('the line contains a zero byte, remove it')
    const fields = splitFields(content)
    if (fields === undefined) throw new AccessLineError('a quote is not closed')
    return fields.map((field) => field.flatMap((token) => this.#expand(token, path)))
  }

  /** A token, or all tokens of the file that it names with @. */
  #expand(token: Token, path: string): readonly Token[] {
    if (token.quoted || token.text.length < 2 || !token.text.startsWith('@')) return [token]
    const file = beside(path, token.text.slice(1))
    const text = this.#text(file)
    if (text === undefined) throw new AccessLineError(`cannot read ${file}: there is no such file`)
    this.#open.push(file)
    try {
      return [...logicalLines(text)].flatMap(({ content }) => this.#fields(content, file).flat())
    } finally {
      this.#open.pop()
    }
  }

  #include(directive: string, fields: readonly Field[], path: string): void {
    const [, names] = fields
    if (fields.length !== 2 || names?.length !== 1) {
      throw new AccessLineError(
        `${directive} takes one name; put it in quotes if it contains blanks or commas`,
      )
    }
    const target = beside(path, names[0]?.text ?? '')
    if (directive === 'include_dir') {
      for (const file of this.#filesIn(target)) this.#includeFile(file, true)
    } else this.#includeFile(target, directive === 'include_if_exists')
  }

  #includeFile(path: string, mayBeMissing: boolean): void {
    const text = this.#text(path)
    if (text !== undefined) this.read(text, path)
    else if (!mayBeMissing) throw new AccessLineError(`cannot read ${path}: there is no such file`)
  }

  #filesIn(folder: string): string[] {
    const names = attempt(folder, () => this.#files.list(folder))
    if (names === undefined) throw new AccessLineError(`cannot read ${folder}: there is no such folder`)
    const wanted = names.filter((name) => name.endsWith('.conf') && !name.startsWith('.'))
    return wanted.sort().map((name) => join(folder, name))
  }

  #text(path: string): string | undefined {
    if (this.#open.includes(path)) throw new AccessLineError(`${path} includes itself`)
    if (this.#open.length > MAX_DEPTH) {
      throw new AccessLineError(`${path}: files include each other more than ${MAX_DEPTH} levels deep`)
    }
    return attempt(path, () => this.#files.read(path))
  }
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new AccessLineError(
      `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

function isInclude({ text, quoted }: Token): boolean {
  return !quoted && (text === 'include' || text === 'include_if_exists' || text === 'include_dir')
}

/** Relative names start at the folder of the file that they are in. */
function beside(path: string, name: string): string {
  return isAbsolute(name) ? name : join(dirname(path), name)
}

/** Lines with those joined that end in a backslash, each with the number of its first one. */
function* logicalLines(text: string): Generator<{ content: string; line: number }> {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  let content = ''
  let first = 1
  for (const [index, line] of lines.entries()) {
    content += line
    if (line.endsWith('\\') && index < lines.length - 1) {
      content = content.slice(0, -1)
      continue
    }
    yield { content, line: first }
    content = ''
    first = index + 2
  }
}
