/**
 * The few statements whose text matters to a pooler, recognised by their first words. Everything else about
 * a statement is learnt from the server's replies.
 */

export const StatementKind = {
  Other: 0,
  /** SET LOCAL: its tag says SET, but it ends with the transaction. */
  SetLocal: 1,
  /** RESET, or SET ... TO DEFAULT, which is one although its tag says SET. */
  Reset: 4,
  /** DEALLOCATE one name, which the server knows under another. */
  DeallocateName: 2,
  /** DEALLOCATE ALL, DISCARD. */
  Discard: 3,
} as const
export type StatementKind = (typeof StatementKind)[keyof typeof StatementKind]

/** Texts are looked at this far. */
const LOOKED_AT_BYTES = 256
/** And so far for what they might create. */
const SEARCHED_BYTES = 16 * 1024

/** What the statement at `start` is; the text ends with NUL or at `end`. */
export function statementKind(buffer: Buffer, start: number, end: number): StatementKind {
  const at = firstWord(buffer, start, end)
  const first = (buffer[at] as number) | 0x20
  if (first === 0x73 /* s */) {
    // SELECT is the most frequent statement there is; its third letter tells it from SET.
    if (((buffer[at + 2] as number) | 0x20) !== 0x74 /* t */) return StatementKind.Other
    const set = whole(buffer, at, end)
    if (/^set\s+local\s+["a-z_\x80-\xff][^;]*;?\s*$/i.test(set)) return StatementKind.SetLocal
    return SETS_DEFAULT.test(set) ? StatementKind.Reset : StatementKind.Other
  }
  if (first === 0x72 /* r */ && ((buffer[at + 2] as number) | 0x20) === 0x73 /* s */)
    return /^reset\s[^;]*;?\s*$/i.test(whole(buffer, at, end)) ? StatementKind.Reset : StatementKind.Other
  if (first !== 0x64 /* d */) return StatementKind.Other
  if (/^(deallocate\s+(prepare\s+)?all|discard)\b/i.test(head(buffer, at, end))) return StatementKind.Discard
  const name = deallocatedName(whole(buffer, at, end))
  return name === undefined ? StatementKind.Other : StatementKind.DeallocateName
}

/** CREATE TABLE or MATERIALIZED VIEW; an INTO that is SELECT's own, not that of an INSERT or MERGE. */
const CREATES = /\bcreate\b(?=[^;]{0,200}\b(?:table|materialized)\b)|(?<!\b(?:insert|merge)\s{1,9})\binto\b/i
const QUOTED = /"[^"]*"|'[^']*'/g
/** Where a quote may be none: behind a backslash, in a comment, between dollars. */
const UNCLEAR = /\\|--|\/\*|\$\w*\$/

/**
 * True for a text that may create something although its tag does not say so: that of CREATE TABLE AS and
 * SELECT INTO is a SELECT's, that of EXPLAIN ANALYZE its own. Any of several statements, behind comments, too; words in
 * quotes do not count, where it is clear what is quoted.
 */
export function createsSomething(buffer: Buffer, start: number, end: number): boolean {
  const limit = Math.min(end, start + SEARCHED_BYTES)
  const nul = buffer.indexOf(0, start)
  const text = buffer.toString('latin1', start, nul === -1 ? limit : Math.min(nul, limit))
  return CREATES.test(text) && (UNCLEAR.test(text) || CREATES.test(text.replace(QUOTED, "''")))
}

/**
 * True if the text calls set_config other than for the transaction only. Its result is that of a SELECT, so
 * nothing but the text tells.
 */
export function setsParameters(buffer: Buffer, start: number, end: number): boolean {
  const limit = Math.min(end, start + LOOKED_AT_BYTES)
  for (let i = start + 3; i < limit; i++) {
    // The underscore of set_config; few statements have one that is followed by a c.
    if (buffer[i] !== 0x5f || ((buffer[i + 1] as number) | 0x20) !== 0x63) continue
    const text = head(buffer, start, end)
    const calls = text.match(/set_config/gi)?.length ?? 0
    if (whole(buffer, start, end) === '') return calls > 0
    return calls > (text.match(SETS_LOCALLY)?.length ?? 0)
  }
  return false
}

/** A call of set_config for the transaction only, where that is beyond doubt. */
const SETS_LOCALLY = /set_config\s*\((?:(?:\s*'[^'\\]*'\s*|[^'"(),;\\]*),){2}\s*(?:true|'t'|'true')\s*\)/gi

/** The command tag of a plain BEGIN, COMMIT or ROLLBACK, in any of their spellings; undefined for other texts. */
export function transactionTag(buffer: Buffer, start: number, end: number): TransactionTag | undefined {
  if (end - start > MAX_TRANSACTION_BYTES) return undefined
  const [, verb] = TRANSACTION.exec(head(buffer, start, end).toLowerCase()) ?? []
  return verb === undefined ? undefined : TAGS[verb]
}

export type TransactionTag = 'BEGIN' | 'START TRANSACTION' | 'COMMIT' | 'ROLLBACK'

const MAX_TRANSACTION_BYTES = 40
const TRANSACTION =
  /^[ \t\r\n]*(start(?=[ \t\r\n]+transaction)|begin|commit|end|rollback|abort)(?:[ \t\r\n]+(?:work|transaction))?[ \t\r\n;]*$/
const TAGS: Readonly<Record<string, TransactionTag>> = {
  begin: 'BEGIN',
  start: 'START TRANSACTION',
  commit: 'COMMIT',
  end: 'COMMIT',
  rollback: 'ROLLBACK',
  abort: 'ROLLBACK',
}

/** The name in `DEALLOCATE [PREPARE] name`, folded as PostgreSQL folds identifiers; undefined for other texts. */
export function deallocatedName(text: string): string | undefined {
  const match =
    /^\s*deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|([a-z_\x80-\xff][\w$\x80-\xff]*))\s*;?\s*$/i.exec(
      text,
    )
  if (match === null) return undefined
  const [, quoted, plain] = match
  return quoted === undefined ? plain?.toLowerCase() : quoted.replaceAll('""', '"')
}

/**
 * What a statement of this kind takes back to its value at the session's start: one parameter, in lower case, or 'all',
 * which is none's name, also where it is not clear which; null for nothing.
 */
export function resetBy(kind: StatementKind, buffer: Buffer, start: number, end: number): string | null {
  if (kind !== StatementKind.Reset && kind !== StatementKind.Discard) return null
  const text = head(buffer, start, end)
  if (kind === StatementKind.Discard) return /^discard\s+all\b/i.test(text) ? 'all' : null
  const [, , name, words] = SETS_DEFAULT.exec(text) ?? RESETS_ONE.exec(text) ?? []
  const [word = ''] = words?.toLowerCase().split(/\s/) ?? []
  return name?.toLowerCase() ?? NAMES[word] ?? 'all'
}

/** Parameters that have words of their own in SQL, by the first of these. */
const NAMES: Readonly<Record<string, string>> = {
  time: 'timezone',
  names: 'client_encoding',
  session: 'session_authorization',
}

const RESETS_ONE = /^reset\s+(?:("?)([a-z_][\w$.]*)\1|(time\s+zone|session\s+authorization))\s*;?\s*$/i
const SETS_DEFAULT =
  /^set\s+(?:session\s+)?(?:("?)([a-z_][\w$.]*)\1\s*(?:=\s*|\sto\s+)default|(time\s+zone\s+(?:default|local)|names\s+default))\s*;?\s*$/i

/** The text from its first word on, as Latin-1; '' if more of it may follow: another statement, say, which is not to be overlooked. */
function whole(buffer: Buffer, start: number, end: number): string {
  const at = firstWord(buffer, start, end)
  const nul = buffer.indexOf(0, at)
  return nul === -1 || nul >= Math.min(end, at + LOOKED_AT_BYTES) ? '' : buffer.toString('latin1', at, nul)
}

function firstWord(buffer: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && (buffer[at] as number) <= 0x20 && buffer[at] !== 0) at += 1
  return at
}

/** The text from its first word on, as Latin-1, as far as it is looked at. */
export function head(buffer: Buffer, start: number, end: number): string {
  const at = firstWord(buffer, start, end)
  const limit = Math.min(end, at + LOOKED_AT_BYTES)
  const nul = buffer.indexOf(0, at)
  return buffer.toString('latin1', at, nul === -1 ? limit : Math.min(nul, limit))
}
