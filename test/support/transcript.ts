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
 * SQLSTATEs that the pooler has to send itself, because it alone knows the client's statement names: the place in
 * PostgreSQL's source (fields F, L, R) is not part of the comparison then.
 */
const ANSWERED_BY_THE_POOLER = new Set(['26000', '42P05'])
const SOURCE_PLACE = new Set(['F', 'L', 'R'])

const TEXT = new Set(['\t', '\n'])

export function transcript(messages: readonly BackendMessage[]): string[] {
  return messages.map(line)
}

function line(message: BackendMessage): string {
  if (isMessage(message, 'A')) return `A <pid> ${message.channel} ${printable(message.payload)}`
  if (isMessage(message, 'C')) return `C ${message.tag}`
  if (isMessage(message, 'D')) return `D ${message.values.map(cell).join(' | ')}`
  if (isMessage(message, 'E') || isMessage(message, 'N'))
    return `${message.type} ${errorFields(message.fields)}`
  if (isMessage(message, 'S')) return `S ${message.name}=${message.value}`
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
