import assert from 'node:assert'
import {
  createServer,
  type ListenOptions as NodeListenOptions,
  type Server,
  Socket,
  type SocketConstructorOpts,
} from 'node:net'
import { unixSocketPath } from '../config/unix-socket-path.ts'
import type { FlushQueue } from './flush-queue.ts'
import { type AcceptedHandle, takeHandles } from './take-handles.ts'
import { handshakeError, startTlsOn } from './tls-socket.ts'
import type {
  BoundListener,
  Connection,
  Endpoint,
  ListenOptions,
  SocketHandler,
  TlsSession,
  TlsStart,
  Transport,
} from './transport.ts'
import { UnixSocketFile } from './unix-socket-file.ts'
import { descriptorOf, writeDirectly } from './write-directly.ts'

/** As much as one read takes; libuv asks for as much as this when it allocates itself. */
const READ_BUFFER_BYTES = 64 * 1024
/** Longer writes are left to the stream: a socket that is full is told by an exception otherwise, which costs more. */
const MAX_DIRECT_BYTES = 8 * 1024
/** Node reports a full socket from here on; Wire's own high-water mark is the same. */
const WRITE_HIGH_WATER_BYTES = 64 * 1024

/**
 * NodeTransport: sockets of node:net. All sockets of the process are read into ONE buffer (`onread`): it is
 * consumed inside the callback, so the next read, of whichever socket, may overwrite it.
 */
export class NodeTransport implements Transport {
  readonly #queue: FlushQueue
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

  constructor(queue: FlushQueue) {
    this.#queue = queue
  }

  async listen(
    options: ListenOptions,
    onAccept: (connection: Connection) => void,
    onError: (error: Error) => void = () => {},
  ): Promise<BoundListener> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    if ('host' in options) {
      const { host, port, backlog } = options
      // "::" beside "0.0.0.0" would be in its way if it meant both, so it means IPv6 alone, as with PostgreSQL.
      const where = host === '*' ? {} : { host, ipv6Only: true }
      await listening(server, { ...where, port, backlog }, onError)
      this.#acceptOn(server, (connection) => {
        // Without an address it has gone already, and must not pass for a client of the unix socket.
        if (connection.remoteAddress === '') connection.destroy()
        else onAccept(connection)
      })
      return boundListener(server)
    }
    const { folder, port, backlog, mode, groupId } = options
    const file = await UnixSocketFile.prepare(unixSocketPath(folder, port))
    const close = async (): Promise<void> => {
      // The file first: who finds it shall find somebody who listens.
      await file.remove()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    }
    try {
      await listening(server, { path: file.bindPath, backlog }, onError)
      this.#acceptOn(server, onAccept)
      await file.publish(mode, groupId)
    } catch (error) {
      await close()
      throw error
    }
    return { host: folder, port, close }
  }

  connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection = new NodeConnection(this.#queue)
      const socket = new Socket(connection.socketOptions(this.#readBuffer))
      connection.attach(socket)
      const onAbort = (): void => {
        socket.destroy()
        reject(signal.reason)
      }
      const onError = (error: Error): void => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      }
      if (signal.aborted) {
        onAbort()
        return
      }
      signal.addEventListener('abort', onAbort, { once: true })
      socket.once('error', onError)
      socket.connect(
        'path' in endpoint
          ? { path: endpoint.path }
          : { host: endpoint.address ?? endpoint.host, port: endpoint.port, noDelay: true, keepAlive: true },
        () => {
          signal.removeEventListener('abort', onAbort)
          socket.off('error', onError)
          connection.readAddress()
          resolve(connection)
        },
      )
    })
  }

  /**
   * `onread`, which gives a socket the shared read buffer, exists for new sockets only, so accepted handles are taken
   * before Node makes sockets of its own for them; where Node does not offer that, they are read through 'data' events.
   */
  #acceptOn(server: Server, onAccept: (connection: Connection) => void): void {
    const taken = takeHandles(server, (handle) => onAccept(this.#adopt(handle)))
    if (taken) return
    server.on('connection', (socket) => {
      const connection = new NodeConnection(this.#queue)
      connection.attach(socket)
      connection.keepAlive()
      connection.readThroughEvents()
      onAccept(connection)
    })
  }

  #adopt(handle: AcceptedHandle): NodeConnection {
    const connection = new NodeConnection(this.#queue)
    const socket = new Socket({
      ...connection.socketOptions(this.#readBuffer),
      handle,
    } as SocketConstructorOpts)
    connection.descriptor = handle.fd
    connection.attach(socket)
    connection.keepAlive()
    socket.resume()
    return connection
  }
}

/** What a connection does about encryption. */
const Encryption = { None: 0, Handshake: 1, On: 2 } as const
type Encryption = (typeof Encryption)[keyof typeof Encryption]

/** One socket of node:net, or of node:tls once it is encrypted. */
class NodeConnection implements Connection {
  readonly #queue: FlushQueue
  #encryption: Encryption = Encryption.None
  #socket!: Socket
  #handler: SocketHandler | null = null
  #error: Error | null = null
  remoteAddress = ''
  remotePort = 0
  descriptor: number | undefined
  /** Where short writes go without the stream; negative where there is no such way. */
  #directDescriptor = -1

  constructor(queue: FlushQueue) {
    this.#queue = queue
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? ''
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  socketOptions(readBuffer: Buffer): SocketConstructorOpts {
    return {
      allowHalfOpen: true,
      writableHighWaterMark: WRITE_HIGH_WATER_BYTES,
      onread: {
        buffer: readBuffer,
        callback: (bytes: number): boolean => {
          this.#deliver(readBuffer, bytes)
          return true
        },
      },
    } as SocketConstructorOpts
  }

  attach(socket: Socket): void {
    this.#socket = socket
    this.readAddress()
    // A socket that TLS has taken over reports nothing any more: the encrypted one does.
    const tell = (event: (handler: SocketHandler) => void): void => {
      if (this.#handler !== null && this.#socket === socket) event(this.#handler)
    }
    socket.on('drain', () => tell((handler) => handler.onDrain()))
    socket.on('end', () => this.#onEnd(tell))
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('close', () => {
      this.#queue.flush()
      tell((handler) => handler.onClose(this.#closeError()))
    })
  }

  /** What is asked of accepted sockets; the other ones are opened so. */
  keepAlive(): void {
    this.#socket.setNoDelay(true)
    this.#socket.setKeepAlive(true)
  }

  readThroughEvents(): void {
    this.#socket.on('data', (chunk: Buffer) => this.#deliver(chunk, chunk.length))
    this.#socket.resume()
  }

  setHandler(handler: SocketHandler): void {
    this.#handler = handler
    this.#directDescriptor = descriptorOf(this.#socket)
  }

  startTls(start: TlsStart): void {
    assert(this.#encryption === Encryption.None, 'a connection is encrypted once')
    this.#encryption = Encryption.Handshake
    this.attach(startTlsOn(this.#socket, start, (session) => this.#onSecure(session)))
  }

  write(bytes: Buffer): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded) return true
    switch (this.#encryption) {
      case Encryption.None:
        return this.#writePlain(bytes)
      case Encryption.Handshake:
        return true
      case Encryption.On:
        // When the TLS socket lets go of what it is given is not documented, and it always takes a turn: a
        // copy of the size of the message beats a scratch buffer withheld for each.
        this.#socket.write(Buffer.from(bytes))
        return true
    }
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    if (this.#encryption === Encryption.Handshake) this.#socket.destroy()
    else this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Once more where the socket has been connected since. */
  readAddress(): void {
    this.remoteAddress = this.#socket.remoteAddress ?? this.remoteAddress
    this.remotePort = this.#socket.remotePort ?? this.remotePort
  }

  #writePlain(bytes: Buffer): boolean {
    const socket = this.#socket
    let rest = bytes
    if (this.#directDescriptor >= 0 && bytes.length <= MAX_DIRECT_BYTES && socket.writableLength === 0) {
      const taken = writeDirectly(this.#directDescriptor, bytes)
      if (taken === bytes.length) return true
      rest = bytes.subarray(taken)
    }
    socket.write(rest)
    return socket.writableLength === 0
  }

  #deliver(buffer: Buffer, bytes: number): void {
    if (this.#handler === null) return
    this.#queue.joinTurn()
    try {
      this.#handler.onData(buffer, 0, bytes)
    } finally {
      this.#queue.leaveTurn()
    }
  }

  #onSecure(session: TlsSession): void {
    this.#encryption = Encryption.On
    this.readThroughEvents()
    this.#handler?.onSecure(session)
  }

  #onEnd(tell: (event: (handler: SocketHandler) => void) => void): void {
    this.#queue.flush()
    // Half a handshake has no other half to wait for.
    if (this.#encryption === Encryption.Handshake) this.#socket.destroy()
    else tell((handler) => handler.onEnd())
  }

  #closeError(): Error | null {
    return this.#encryption === Encryption.Handshake ? handshakeError(this.#error) : this.#error
  }
}

function listening(
  server: Server,
  options: NodeListenOptions,
  onError: (error: Error) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      server.on('error', onError)
      resolve()
    })
  })
}

function boundListener(server: Server): BoundListener {
  const address = server.address()
  if (address === null || typeof address === 'string')
    throw new Error(`unexpected listener address ${address}`)
  return {
    host: address.address,
    port: address.port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
