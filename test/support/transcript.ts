import type { BackendMessage } from './backend-message.ts'
import { isMessage } from './backend-message.ts'

/**
 * transcript: received messages as lines of text that two runs of the same story can be compared by. Whatever must
 * differ between two sessions is replaced (process ids, OIDs of the tables that the story created); everything
 * else, down to the routine names inside errors, stays.
 */

/** First OID of objects made after initdb; below are the catalogs. Source: FirstNormalObjectId, access/transam.h. */
const FIRST_NORMAL_OID = 16_384

/**
 * SQLSTATEs that the pooler sends itself, because it alone knows the client's statement names or because such
 * bytes never reach a server: the place in PostgreSQL's source (fields F, L, R) is not compared then.
 */
const ANSWERED_BY_THE_POOLER = new Set(['26000', '42P05', '08P01', '28000'])
const SOURCE_PLACE = new Set(['F', 'L', 'R'])

const TEXT = new Set(['\t', '\n'])

/**
 * The lines of `messages`, received by a client that knew `parameters` before. ParameterStatus counts by its
 * effect: what the client knows at each ReadyForQuery. A pooler that applies values again may report more.
 */
export function transcript(
  messages: readonly BackendMessage[],
  parameters: ReadonlyMap<string, string> = new Map(),
): string[] {
  const known = new Map(parameters)
  const told = new Map(parameters)
  const lines: string[] = []
  for (const message of messages) {
    if (isMessage(message, 'S')) {
      told.set(message.name, message.value)
      continue
    }
    if (isMessage(message, 'Z')) lines.push(...changes(known, told))
    lines.push(line(message))
  }
  return lines
}

/** What `told` says anew, in order of names; `known` is brought up to it. */
function changes(known: Map<string, string>, told: ReadonlyMap<string, string>): string[] {
  const changed = [...told].filter(([name, value]) => known.get(name) !== value).sort()
  for (const [name, value] of changed) known.set(name, value)
  return changed.map(([name, value]) => `S ${name}=${value}`)
}

function line(message: BackendMessage): string {
  if (isMessage(message, 'A')) return `A <pid> ${message.channel} ${printable(message.payload)}`
  if (isMessage(message, 'C')) return `C ${message.tag}`
  if (isMessage(message, 'D')) return `D ${message.values.map(cell).join(' | ')}`
  if (isMessage(message, 'E') || isMessage(message, 'N'))
    return `${message.type} ${errorFields(message.fields)}`
  if (isMessage(message, 'T')) return `T ${message.columns.map(column).join(' | ')}`
  if (isMessage(message, 'Z')) return `Z ${message.status}`
  return message.body.length === 0 ? message.type : `${message.type} ${bytes(message.body)}`
}

function errorFields(fields: Readonly<Record<string, string>>): string {
  const local = ANSWERED_BY_THE_POOLER.has(fields.C ?? '')
  return Object.entries(fields)
    .filter(([letter]) => !(local && SOURCE_PLACE.has(letter)))
    .map(([letter, text]) => `${letter}:${text}`)
    .join(' ')
}

function column(field: BackendMessage<'T'>['columns'][number]): string {
  const table = field.table >= FIRST_NORMAL_OID ? '<table>' : field.table
  const { name, attribute, type, size, modifier, format } = field
  return `${name} ${table}.${attribute} ${type}/${size}/${modifier}/${format}`
}

function cell(value: Buffer | null): string {
  return value === null ? 'NULL' : bytes(value)
}

function bytes(body: Buffer): string {
  if (body.length > 200) return `<${body.length} bytes ending ${body.toString('hex', body.length - 16)}>`
  const text = body.toString()
  return text === printable(text) && Buffer.from(text).equals(body) ? text : `0x${body.toString('hex')}`
}

function printable(text: string): string {
  return [...text].map((letter) => (letter >= ' ' || TEXT.has(letter) ? letter : '?')).join('')
}
