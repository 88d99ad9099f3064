import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { BackendMessage } from './backend-message.ts'
import { isMessage } from './backend-message.ts'
import { password as passwordMessage, saslInitialResponse, saslResponse } from './frontend-messages.ts'

/**
 * The login dialogue as an application: trust, cleartext, md5 and SCRAM-SHA-256 with an ASCII password. Written
 * apart from the pooler's own code on purpose, so that a mistake there does not meet itself here.
 * Source: PostgreSQL documentation, "Message Flow, Start-up" and "SASL Authentication"; RFC 5802.
 */

/** The part of a RawClient that the dialogue needs. */
interface Dialogue {
  send(...messages: readonly Buffer[]): void
  receive(): Promise<BackendMessage>
}

const OK = 0
const CLEARTEXT = 3
const MD5 = 5
const SASL = 10

/** Answers authentication requests until AuthenticationOk or an ErrorResponse has been received. */
export async function authenticate(client: Dialogue, user: string, password?: string): Promise<void> {
  for (;;) {
    const request = await client.receive()
    if (isMessage(request, 'E')) return
    if (!isMessage(request, 'R')) continue
    if (request.method === OK) return
    if (password === undefined) throw new Error(`authentication method ${request.method} wants a password`)
    if (request.method === CLEARTEXT) client.send(passwordMessage(password))
    else if (request.method === MD5) client.send(passwordMessage(md5Answer(user, password, request.rest)))
    else if (request.method === SASL) {
      if (!(await scram(client, password))) return
    } else throw new Error(`authentication method ${request.method} is not known to this client`)
  }
}

function md5Answer(user: string, password: string, salt: Buffer): string {
  const md5 = (...parts: readonly (string | Buffer)[]) => {
    const hash = createHash('md5')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return `md5${md5(md5(password, user), salt)}`
}

const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()

/** True when the server's signature was right and AuthenticationOk is next; false after an ErrorResponse. */
async function scram(client: Dialogue, password: string): Promise<boolean> {
  const clientFirst = `n=,r=${randomBytes(18).toString('base64')}`
  client.send(saslInitialResponse('SCRAM-SHA-256', `n,,${clientFirst}`))
  const challenge = await client.receive()
  if (!isMessage(challenge, 'R')) return false

  const serverFirst = challenge.rest.toString()
  const parts = attributes(serverFirst)
  const salted = pbkdf2Sync(
    password,
    Buffer.from(parts.get('s') ?? '', 'base64'),
    Number(parts.get('i')),
    32,
    'sha256',
  )
  const withoutProof = `c=biws,r=${parts.get('r')}`
  const signed = `${clientFirst},${serverFirst},${withoutProof}`
  const clientKey = hmac(salted, 'Client Key')
  const signature = hmac(createHash('sha256').update(clientKey).digest(), signed)
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] as number)))
  client.send(saslResponse(`${withoutProof},p=${proof.toString('base64')}`))

  const verdict = await client.receive()
  if (!isMessage(verdict, 'R')) return false
  const expected = hmac(hmac(salted, 'Server Key'), signed).toString('base64')
  if (attributes(verdict.rest.toString()).get('v') !== expected) {
    throw new Error('the server does not know the password: its SCRAM signature is wrong')
  }
  return true
}

function attributes(text: string): Map<string, string> {
  return new Map(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))
}
