/**
 * splitFields: one logical line of pg_hba.conf, pg_ident.conf or an @file into fields of tokens. Called by
 * AccessFileReader. Stateless. Source: PostgreSQL documentation, "The pg_hba.conf File": fields are separated
 * by blanks, the values of one field by commas; quotes take a keyword its meaning, # begins a comment.
 */

export interface Token {
  readonly text: string
  /** It began with a quote, so `all` is a name and @ and + mean nothing. */
  readonly quoted: boolean
}

/** One or more tokens that commas hold together. */
export type Field = readonly Token[]

/** Undefined when a quote is not closed. */
export function splitFields(line: string): Field[] | undefined {
  const fields: Token[][] = []
  let at = 0
  let joined = false
  for (;;) {
    while (at < line.length && (isBlank(line[at]) || line[at] === ',')) at++
    if (at === line.length || line[at] === '#') return fields
    const token = readToken(line, at)
    if (token === undefined) return undefined
    if (joined) fields.at(-1)?.push(token.token)
    else fields.push([token.token])
    at = token.end
    // A comma right behind a token joins it with the next one, whatever blanks lie between.
    joined = line[at] === ','
  }
}

function readToken(line: string, start: number): { token: Token; end: number } | undefined {
  let text = ''
  let quoted = false
  let inQuotes = false
  let at = start
  for (; at < line.length; at++) {
    const char = line[at] as string
    if (char === '"') {
      if (text === '') quoted = true
      if (inQuotes && line[at + 1] === '"') {
        text += '"'
        at++
      } else inQuotes = !inQuotes
    } else if (!inQuotes && (isBlank(char) || char === ',' || char === '#')) break
    else text += char
  }
  return inQuotes ? undefined : { token: { text, quoted }, end: at }
}

function isBlank(char: string | undefined): boolean {
  return char === ' ' || char === '\t' || char === '\r'
}
