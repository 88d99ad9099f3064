import { connect, type Socket } from 'node:net'
import { ServerExchange } from '../../src/auth/server-exchange.ts'
import { PlainSecret } from '../../src/auth/user-secret.ts'
import { startup, terminate } from '../../test/support/frontend-messages.ts'
import type { LoadAddress } from './workload.ts'

/**
 * OwnConnection: the client end of one connection, as cheap as node:net allows, so that the load generator
 * takes little from the machine it measures. It knows where messages end and looks at two of them:
 * ReadyForQuery and ErrorResponse.
 */

const ERROR_RESPONSE = 0x45
const AUTHENTICATION = 0x52
const READY_FOR_QUERY = 0x5a
const HEADER_BYTES = 5
const READ_BUFFER_BYTES = 64 * 1024

/** `error` is what the server or the system said, null if all went well. */
export type Ready = (error: string | null) => void

/** One secret for all connections keeps the keys derived from it: the next login costs this process nearly nothing. */
const secrets = new Map<string, PlainSecret>()

function secretOf(password: string): PlainSecret {
  const secret = secrets.get(password) ?? new PlainSecret(password)
  secrets.set(password, secret)
  return secret
}

const sharedReadBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

export class OwnConnection {
  bytesReceived = 0
  readonly #socket: Socket
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerLength = 0
  /** Bytes of the current message that are still to come. */
  #rest = 0
  #body: number[] = []
  #error: string | null = null
  #onReady: Ready | null = null
  #onClosed: (() => void) | null = null
  readonly #exchange: ServerExchange | null

  private constructor(address: LoadAddress, onReady: Ready) {
    this.#onReady = onReady
    const { user, password } = address
    this.#exchange = password === undefined ? null : new ServerExchange({ user, secret: secretOf(password) })
    this.#socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      onread: {
        buffer: sharedReadBuffer,
        callback: (bytes) => {
          this.#scan(bytes)
          return true
        },
      },
    })
    this.#socket.on('connect', () => {
      this.#socket.write(startup({ user: address.user, database: address.database }))
    })
    this.#socket.on('error', (error) => {
      this.#error = error.message
    })
    this.#socket.on('close', () => this.#closed())
  }

  /** Connects and logs in, without TLS; resolves when the server is ready. */
  static open(address: LoadAddress): Promise<OwnConnection> {
    return new Promise((resolve, reject) => {
      const connection: OwnConnection = new OwnConnection(address, (error) => {
        if (error === null) return resolve(connection)
        connection.#socket.destroy()
        reject(new Error(error))
      })
    })
  }

  /** Sends what ends with a Query or a Sync; `onReady` is called at its ReadyForQuery. */
  send(bytes: Buffer, onReady: Ready): void {
    this.#error = null
    this.#onReady = onReady
    this.#socket.write(bytes)
  }

  /** The same, as a promise that rejects with the server's error. */
  request(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(bytes, (error) => (error === null ? resolve() : reject(new Error(error))))
    })
  }

  /** Says goodbye; resolves when the socket is closed. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#onReady = null
      if (this.#socket.destroyed) return resolve()
      this.#onClosed = resolve
      this.#socket.end(terminate())
    })
  }

  #scan(end: number): void {
    this.bytesReceived += end
    const header = this.#header
    let at = 0
    while (at < end) {
      if (this.#rest > 0) {
        const length = Math.min(this.#rest, end - at)
        if (header[0] !== 0x44) this.#keep(at, at + length)
        at += length
        this.#rest -= length
      } else {
        while (this.#headerLength < HEADER_BYTES && at < end) {
          header[this.#headerLength++] = sharedReadBuffer[at++] as number
        }
        if (this.#headerLength < HEADER_BYTES) return
        this.#headerLength = 0
        this.#rest = header.readInt32BE(1) - 4
      }
      if (this.#rest === 0 && this.#headerLength === 0) this.#messageEnd(header[0] as number)
    }
  }

  #keep(start: number, end: number): void {
    const type = this.#header[0]
    if (type !== ERROR_RESPONSE && type !== AUTHENTICATION) return
    for (let i = start; i < end; i++) this.#body.push(sharedReadBuffer[i] as number)
  }

  #messageEnd(type: number): void {
    if (type === READY_FOR_QUERY) {
      const onReady = this.#onReady
      this.#onReady = null
      onReady?.(this.#error)
    } else if (type === ERROR_RESPONSE) {
      this.#error = Buffer.from(this.#body).toString('utf8').split('\0').filter(Boolean).join(' ')
    } else if (type === AUTHENTICATION) this.#authenticate()
    if (this.#body.length > 0) this.#body = []
  }

  #authenticate(): void {
    if (this.#exchange === null) {
      if (this.#body.every((byte) => byte === 0)) return
      this.#error = 'the server asks for a password'
      this.#socket.destroy()
      return
    }
    const message = Buffer.concat([this.#header, Buffer.from(this.#body)])
    const fail = (error: Error): void => {
      this.#error = error.message
      this.#socket.destroy()
    }
    this.#exchange.onAuthentication(message, HEADER_BYTES, message.length).then((step) => {
      if (step.kind === 'send') this.#socket.write(step.message)
      else if (step.kind === 'failed') fail(step.error)
    }, fail)
  }

  #closed(): void {
    this.#onClosed?.()
    const onReady = this.#onReady
    this.#onReady = null
    onReady?.(this.#error ?? 'the server closed the connection')
  }
}
