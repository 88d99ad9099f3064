import type { Connection, SocketHandler, TlsSession } from '../../src/net/transport.ts'

/** Notes what happens to one end, and lets a test wait for it. */
export class ConnectionRecorder implements SocketHandler {
  readonly connection: Connection
  readonly secured: Promise<TlsSession>
  readonly ended: Promise<void>
  readonly closed: Promise<Error | null>
  received = Buffer.alloc(0)
  largestChunk = 0
  drains = 0
  closes = 0
  onSecure!: (session: TlsSession) => void
  onEnd!: () => void
  #close!: (error: Error | null) => void
  #wanted: { bytes: number; resolve: () => void } | null = null

  constructor(connection: Connection) {
    this.connection = connection
    this.secured = new Promise((resolve) => {
      this.onSecure = resolve
    })
    this.ended = new Promise((resolve) => {
      this.onEnd = resolve
    })
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
    connection.setHandler(this)
  }

  async bytes(count: number): Promise<Buffer> {
    await new Promise<void>((resolve) => {
      this.#wanted = { bytes: count, resolve }
      this.#check()
    })
    return this.received
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.largestChunk = Math.max(this.largestChunk, end - start)
    this.received = Buffer.concat([this.received, buffer.subarray(start, end)])
    this.#check()
  }

  onDrain(): void {
    this.drains += 1
  }

  onClose(error: Error | null): void {
    this.closes += 1
    this.#close(error)
  }

  #check(): void {
    if (this.#wanted !== null && this.received.length >= this.#wanted.bytes) this.#wanted.resolve()
  }
}
