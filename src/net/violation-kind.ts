import type { PoolerError } from '../errors.ts'

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^invalid (?:frontend )?message type|^invalid message: type/, 'invalid_message'],
  [/^invalid message length/, 'invalid_length'],
  [/too long/, 'too_long'],
  [/^unexpected /, 'unexpected_message'],
  [/^received /, 'encryption_request'],
  [/startup|protocol version|protocol [0-9]/i, 'startup_packet'],
  [/SCRAM|password/i, 'authentication_message'],
]

/** Which kind of breach of the protocol this is, of a bounded set, and its SQLSTATE: "too_long 54000". */
export function violationKind({ message, sqlState }: PoolerError): string {
  const kind = KINDS.find(([pattern]) => pattern.test(message))?.[1] ?? 'malformed'
  return `${kind} ${sqlState}`
}
