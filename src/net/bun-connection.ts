import assert from 'node:assert'
import type { BunSocket, BunSocketHandlers, BunTlsSocket } from './bun-sockets.ts'
import { sessionOf, startBunTls } from './bun-tls.ts'
import type { FlushQueue } from './flush-queue.ts'
import { handshakeError } from './tls-socket.ts'
import type { Connection, SocketHandler, TlsStart } from './transport.ts'

/**
 * BunConnection: one socket of Bun, and the encrypted one that takes its place. A socket of Bun keeps nothing that
 * the kernel does not take, so the connection does, and owns it until it is taken. Made by BunTransport.
 */

/** What a connection does about encryption. */
const Encryption = { None: 0, Handshake: 1, On: 2 } as const
type Encryption = (typeof Encryption)[keyof typeof Encryption]

type Socket = BunSocket<BunConnection>

/** The events of all sockets. An encrypted socket's old one goes on reporting, which nobody wants to hear. */
export function handlersOf(queue: FlushQueue): BunSocketHandlers<BunConnection> {
  return {
    data(socket, bytes) {
      const connection = socket.data
      if (connection.socket !== socket) return
      queue.beginTurn()
      try {
        connection.onData(bytes)
      } finally {
        queue.endTurn()
      }
    },
    drain(socket) {
      if (socket.data.socket === socket) socket.data.onDrain()
    },
    end(socket) {
      if (socket.data.socket === socket) socket.data.onEnd()
    },
    close(socket, error) {
      if (socket.data.socket === socket) socket.data.onClose(error ?? null)
    },
    handshake(socket, success, error) {
      if (socket.data.socket === socket) socket.data.onHandshake(socket, success, error)
    },
  }
}

export class BunConnection implements Connection {
  readonly #handlers: BunSocketHandlers<BunConnection>
  /** Null before it is connected. */
  socket: Socket | null = null
  #encryption: Encryption = Encryption.None
  #start: TlsStart | null = null
  #handler: SocketHandler | null = null
  /** What the kernel has not taken yet, and how much of the first is done. */
  readonly #waiting: Buffer[] = []
  #done = 0
  pendingBytes = 0
  #ended = false
  #peerEnded = false
  #destroyed = false
  #closed = false
  #error: Error | null = null
  remoteAddress = ''
  remotePort = 0
  descriptor: number | undefined

  constructor(handlers: BunSocketHandlers<BunConnection>) {
    this.#handlers = handlers
  }

  get localAddress(): string {
    return this.socket?.localAddress ?? ''
  }

  get localPort(): number {
    return this.socket?.localPort ?? 0
  }

  /** It is connected. */
  attach(socket: Socket): void {
    this.socket = socket
    this.remoteAddress = socket.remoteAddress ?? ''
    this.remotePort = socket.remotePort ?? 0
    this.descriptor = socket.fd
  }

  setHandler(handler: SocketHandler): void {
    this.#handler = handler
  }

  startTls(start: TlsStart): void {
    assert(this.#encryption === Encryption.None, 'a connection is encrypted once')
    if (this.#closed || this.socket === null) return
    this.#encryption = Encryption.Handshake
    this.#start = start
    // A peer that has not even taken the answer to its SSLRequest.
    if (this.pendingBytes > 0) {
      this.destroy()
      return
    }
    const plain = this.socket
    this.socket = null
    try {
      this.socket = startBunTls(plain, start, this.#handlers)
    } catch (error) {
      this.socket = plain
      this.#fail(error)
    }
  }

  write(bytes: Buffer): boolean {
    if (this.#closed || this.#ended || this.#encryption === Encryption.Handshake) return true
    if (this.pendingBytes > 0) {
      this.#waiting.push(bytes)
      this.pendingBytes += bytes.length
      return false
    }
    const length = bytes.length
    const taken = (this.socket as Socket).write(bytes, 0, length)
    // Negative if the socket is gone: its close event is on the way.
    if (taken === length || taken < 0) return true
    // A copy of the rest is small, or there is a lot to wait for anyway; the caller's buffer is for many.
    this.#waiting.push(Buffer.from(bytes.subarray(taken)))
    this.pendingBytes = length - taken
    return true
  }

  pause(): void {
    if (!this.#closed) this.socket?.pause()
  }

  resume(): void {
    if (!this.#closed) this.socket?.resume()
  }

  end(): void {
    if (this.#encryption === Encryption.Handshake) {
      this.destroy()
    } else if (!this.#ended && !this.#closed) {
      this.#ended = true
      if (this.pendingBytes === 0) this.socket?.shutdown()
    }
  }

  destroy(): void {
    if (this.#closed) return
    // Whatever Bun has to say about it from here on was not the peer's doing.
    this.#destroyed = true
    this.#forgetWaiting()
    this.socket?.close()
  }

  onData(bytes: Buffer): void {
    if (this.#encryption !== Encryption.Handshake) this.#handler?.onData(bytes, 0, bytes.length)
  }

  onDrain(): void {
    if (this.pendingBytes === 0 || this.#closed) return
    const socket = this.socket as Socket
    const waiting = this.#waiting
    let count = 0
    while (count < waiting.length) {
      const bytes = waiting[count] as Buffer
      const length = bytes.length - this.#done
      const taken = socket.write(bytes, this.#done, length)
      if (taken < 0) break
      this.pendingBytes -= taken
      if (taken < length) {
        this.#done += taken
        break
      }
      this.#done = 0
      count += 1
    }
    waiting.splice(0, count)
    if (this.pendingBytes > 0) return
    if (this.#ended) socket.shutdown()
    this.#handler?.onDrain()
  }

  onEnd(): void {
    // Half a handshake has no other half to wait for.
    if (this.#encryption === Encryption.Handshake) this.destroy()
    else {
      this.#peerEnded = true
      this.#handler?.onEnd()
    }
  }

  onHandshake(socket: BunTlsSocket<BunConnection>, success: boolean, error: Error | null): void {
    if (this.#destroyed || this.#closed || this.#start === null) return
    const start = this.#start
    this.#start = null
    try {
      // Where the peer has gone, the end of the socket follows.
      if (!success && isEndOfHandshake(error)) return
      const session = sessionOf(socket, start, success, error)
      this.#encryption = Encryption.On
      this.#handler?.onSecure(session)
    } catch (problem) {
      if (this.#encryption === Encryption.On) throw problem
      this.#fail(problem)
    }
  }

  onClose(error: Error | null): void {
    if (this.#closed) return
    this.#closed = true
    if (!this.#destroyed && !isEndOfHandshake(error)) this.#error ??= error
    this.#forgetWaiting()
    const handshake = this.#encryption === Encryption.Handshake
    const cleanly = error === null && !this.#destroyed && !this.#peerEnded && !handshake
    const reason = handshake ? handshakeError(this.#error) : withReason(this.#error)
    // Bun calls this from within close(), whose caller is in the middle of something.
    queueMicrotask(() => {
      // Where this side has sent its FIN before, Bun takes the peer's for the end of everything.
      if (cleanly) this.#handler?.onEnd()
      this.#handler?.onClose(reason)
    })
  }

  #fail(error: unknown): void {
    this.#error ??= error instanceof Error ? error : new Error(String(error))
    this.destroy()
  }

  #forgetWaiting(): void {
    this.#waiting.length = 0
    this.#done = 0
    this.pendingBytes = 0
  }
}

/** Bun's way to say that the peer closed the connection in the middle of the handshake. */
function isEndOfHandshake(error: Error | null): boolean {
  return error?.message.includes('disconnected before secure TLS connection') ?? false
}

/** "read ECONNRESET", as Node.js says it, in place of "ECONNRESET: connection reset by peer, read". */
function withReason(error: Error | null): Error | null {
  if (error === null) return null
  const { code, syscall } = error as NodeJS.ErrnoException
  if (code !== undefined && syscall !== undefined) error.message = `${syscall} ${code}`
  return error
}
