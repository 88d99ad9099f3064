import { execFile, execFileSync } from 'node:child_process'
import { connect as connectSocket, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { sslRequest } from '../../support/frontend-messages.ts'
import { MessageStream } from '../../support/message-stream.ts'
import { type Address, RawClient } from '../../support/raw-client.ts'

/** Clients that speak TLS: a RawClient over node:tls, and psql for libpq's own idea of each sslmode. */

export interface TlsClientOptions extends ConnectionOptions {
  /** The handshake is the first thing that is sent. */
  readonly direct?: boolean
}

/** A plain socket, connected. */
export async function openSocket({ host, port }: Address): Promise<Socket> {
  const socket = connectSocket({ host, port, allowHalfOpen: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve())
    socket.once('error', reject)
  })
  return socket
}

/** Connects and encrypts; certificates are not verified unless `options` say so. Rejects with the handshake's error. */
export async function openTls(address: Address, options: TlsClientOptions = {}): Promise<RawClient> {
  const { direct = false, ...tlsOptions } = options
  const socket = await openSocket(address)
  if (!direct) {
    socket.write(sslRequest())
    const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    if (answer.toString('latin1') !== 'S')
      throw new Error(`SSLRequest was answered ${answer.toString('latin1')}`)
    socket.pause()
  }
  return new RawClient(new MessageStream(await handshake(socket, tlsOptions)), address)
}

function handshake(socket: Socket, options: ConnectionOptions): Promise<TLSSocket> {
  const tls = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['postgresql'], ...options })
  return new Promise((resolve, reject) => {
    tls.once('secureConnect', () => resolve(tls))
    tls.once('error', reject)
    tls.once('close', () => reject(new Error('closed during the handshake')))
  })
}

/** False, with the reason on the console, when the machine lacks psql. */
export function hasPsql(): boolean {
  try {
    execFileSync('psql', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
    console.warn('psql is not installed here: its tests do not run')
    return false
  }
}

/** What `sql` prints, or libpq's message. `parameters` are those of a connection string. */
export async function psql(
  parameters: Readonly<Record<string, string | number>>,
  sql: string,
): Promise<string> {
  const text = Object.entries(parameters).map(([name, value]) => `${name}='${value}'`)
  const environment = { ...process.env, PGPASSWORD: undefined, HOME: '/nonexistent' }
  try {
    const { stdout } = await promisify(execFile)('psql', [text.join(' '), '-XAtqc', sql], {
      env: environment,
      timeout: 20_000,
      maxBuffer: 64 * 1024 * 1024,
    })
    return stdout.trim()
  } catch (error) {
    return (error as { stderr: string }).stderr.trim()
  }
}
