import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ByteQueue } from './byte-queue.ts'

/**
 * MessageStream: one socket of a test, read by message and written at will. The base of RawClient (the
 * application's end) and of ServerSession (PostgreSQL's end). Owns the socket, the bytes received so far and the
 * history that its deadline errors quote.
 */

/** How long a test waits for something that should have happened; generous because the machine may be busy. */
export const DEADLINE_MS = 10_000

const ERRORS_OF_A_CLOSED_PEER = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_DESTROYED'])

export interface WireMessage {
  /** The type byte as a letter; '' for the messages of the startup phase, which have none. */
  type: string
  body: Buffer
}

export class MessageStream {
  readonly socket: Socket
  /** What was received, in short, for the errors of a deadline. */
  readonly history: string[] = []
  readonly #received = new ByteQueue()
  readonly #closed: Promise<void>
  #wake: () => void = () => {}
  #ended = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk)
      this.#wake()
    })
    socket.on('end', () => this.#end())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.history.push(`<${error.code ?? error.message}>`)
      if (!ERRORS_OF_A_CLOSED_PEER.has(error.code ?? '')) this.history.push(`<socket: ${error.message}>`)
    })
    this.#closed = new Promise((resolve) => {
      socket.on('end', () => resolve())
      socket.on('close', () => {
        this.#end()
        resolve()
      })
    })
  }

  /** Whether the peer has closed its side. */
  get ended(): boolean {
    return this.#ended
  }

  /** Bytes that arrived and were not read yet. */
  get unread(): number {
    return this.#received.length
  }

  /** Writes the messages in one call, so that they leave in one segment if they fit. */
  send(...messages: readonly Buffer[]): void {
    this.socket.write(messages.length === 1 ? (messages[0] as Buffer) : Buffer.concat(messages))
  }

  /**
   * Writes `bytes` in pieces of `every` bytes, each in its own write and with a turn of the event loop between
   * them, so that a reader in the same process sees the pieces one by one.
   */
  async sendBytes(bytes: Buffer, options: { every?: number } = {}): Promise<void> {
    const every = options.every ?? bytes.length
    for (let at = 0; at < bytes.length; at += every) {
      await new Promise<void>((resolve) => {
        this.socket.write(bytes.subarray(at, at + every), () => resolve())
      })
      await nextTurn()
    }
  }

  /** Takes the next `count` bytes; undefined when the peer closed before they came. */
  async readBytes(count: number, what: string): Promise<Buffer | undefined> {
    await this.#until(() => this.#received.length >= count, what)
    return this.#received.read(count)
  }

  /** Takes the next message with a type byte; undefined when the peer closed at a message boundary. */
  async readMessage(what: string): Promise<WireMessage | undefined> {
    const header = await this.#peek(5, what)
    if (header === undefined) return this.#nothingLeft()
    const bytes = await this.readBytes(1 + header.readInt32BE(1), what)
    if (bytes === undefined) return this.#nothingLeft()
    return { type: String.fromCharCode(bytes[0] as number), body: bytes.subarray(5) }
  }

  /** Takes the next message of the startup phase; undefined when the peer closed instead of sending one. */
  async readUntyped(what: string): Promise<WireMessage | undefined> {
    const header = await this.#peek(4, what)
    if (header === undefined) return this.#nothingLeft()
    const bytes = await this.readBytes(header.readInt32BE(0), what)
    return bytes === undefined ? this.#nothingLeft() : { type: '', body: bytes.subarray(4) }
  }

  /** Resolves when the peer has closed the connection; fails at the deadline. */
  async closed(): Promise<void> {
    await this.#beforeDeadline(this.#closed, 'the connection to be closed')
  }

  /** Half-closes: what was sent is followed by FIN, and replies can still be read. */
  end(): void {
    this.socket.end()
  }

  /** Closes both directions at once, with FIN. */
  destroy(): void {
    this.socket.destroy()
  }

  /** Closes with RST, as a crashed host or a killed container does. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  async #peek(count: number, what: string): Promise<Buffer | undefined> {
    await this.#until(() => this.#received.length >= count, what)
    return this.#received.peek(count)
  }

  #nothingLeft(): undefined {
    if (this.#received.length > 0) {
      throw new Error(`the peer closed inside a message: ${this.#received.length} bytes of it arrived`)
    }
    return undefined
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    while (!condition() && !this.#ended) {
      await this.#beforeDeadline(
        new Promise<void>((resolve) => {
          this.#wake = resolve
        }),
        what,
      )
    }
  }

  async #beforeDeadline(promise: Promise<void>, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const got = this.history.length === 0 ? 'nothing' : this.history.slice(-30).join(' ')
        const rest = this.#received.length === 0 ? '' : ` and ${this.#received.length} bytes not read yet`
        reject(new Error(`waited ${DEADLINE_MS} ms for ${what}; received so far: ${got}${rest}`))
      }, DEADLINE_MS)
    })
    try {
      await Promise.race([promise, deadline])
    } finally {
      clearTimeout(timer)
    }
  }

  #end(): void {
    this.#ended = true
    this.#wake()
  }
}
