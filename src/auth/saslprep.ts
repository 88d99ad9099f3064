import { isUtf8 } from 'node:buffer'
import saslprep from '@mongodb-js/saslprep'
import { DROPPED, LEFT_TO_RIGHT, REPLACEABLE, RIGHT_TO_LEFT } from './saslprep-tables.ts'

/**
 * Prepares a password for SCRAM as PostgreSQL does, so that both derive the same keys from it. Stateless.
 * Source: RFC 4013; PostgreSQL documentation, "SASL Authentication": a password that cannot be prepared is
 * used as the bytes it has. PostgreSQL looks for refused characters and writing directions before it
 * normalises, the RFC and the library afterwards; so the library is asked about one character at a time.
 */

/**
 * Longer ones are taken as they are: whoever sends 64 KiB of them with auth_type plain would hold up everybody
 * else for as long as a hundred logins take. PostgreSQL before version 14 refused more than 1023 bytes.
 */
const MAX_PREPARED_BYTES = 4096

/** The bytes that go into the key derivation. */
export function preparePassword(password: string | Buffer): Buffer {
  const bytes = typeof password === 'string' ? Buffer.from(password) : password
  if (bytes.length > MAX_PREPARED_BYTES || !isUtf8(bytes)) return bytes
  const text = bytes.toString()
  const ascii = text.length === bytes.length
  if (ascii) return bytes
  const mapped: string[] = []
  for (const character of text) {
    const kept = mapCharacter(character)
    if (kept === undefined) return bytes
    if (kept !== '') mapped.push(kept)
  }
  if (mapped.length === 0 || !hasOneDirection(mapped)) return bytes
  return Buffer.from(mapped.join('').normalize('NFKC'))
}

/** The character that it stands for, '' if it is dropped, undefined if it is prohibited or unassigned. */
function mapCharacter(character: string): string | undefined {
  // The library crashes where nothing is left.
  if (DROPPED.test(character)) return ''
  if (character.normalize('NFKC') !== character) return REPLACEABLE.test(character) ? character : undefined
  try {
    return saslprep(character)
  } catch {
    return undefined
  }
}

/** RFC 3454 section 6: right-to-left text has no letters of the other direction, and begins and ends with its own. */
function hasOneDirection(characters: readonly string[]): boolean {
  if (!characters.some((character) => RIGHT_TO_LEFT.test(character))) return true
  if (characters.some((character) => LEFT_TO_RIGHT.test(character))) return false
  return [characters.at(0), characters.at(-1)].every((end) => end !== undefined && RIGHT_TO_LEFT.test(end))
}
