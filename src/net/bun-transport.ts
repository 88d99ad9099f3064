import { unixSocketPath } from '../config/unix-socket-path.ts'
import { BunConnection, handlersOf } from './bun-connection.ts'
import { type BunListener, type BunSocket, type BunSocketHandlers, bunSockets } from './bun-sockets.ts'
import type { FlushQueue } from './flush-queue.ts'
import type { BoundListener, Connection, Endpoint, ListenOptions, Transport } from './transport.ts'
import { UnixSocketFile } from './unix-socket-file.ts'

/** As under Node.js: the first probe comes when the system's own time is over. */
const KEEP_ALIVE_DELAY_MS = 0

/**
 * BunTransport: the sockets of Bun, which cost less per message than those of node:net, under Node.js and under Bun.
 * All of them share one object of handlers and find their connection in the socket's `data`.
 */
export class BunTransport implements Transport {
  readonly #handlers: BunSocketHandlers<BunConnection>
  readonly #connectHandlers: BunSocketHandlers<BunConnection>

  constructor(queue: FlushQueue) {
    this.#handlers = handlersOf(queue)
    // Before anything else that may happen to it.
    this.#connectHandlers = { ...this.#handlers, open: (socket) => socket.data.attach(socket) }
  }

  /** Bun hears nothing of connections that could not be accepted, so `onError` is never called. */
  async listen(
    options: ListenOptions,
    onAccept: (connection: Connection) => void,
    _onError?: (error: Error) => void,
  ): Promise<BoundListener> {
    if ('host' in options) {
      const listener = this.#bindPort(options.host, options.port, (socket, connection) => {
        // Without an address it has gone already, and must not pass for a client of the unix socket.
        if (connection.remoteAddress === '') return connection.destroy()
        prepare(socket)
        onAccept(connection)
      })
      return { host: listener.hostname, port: listener.port, close: async () => listener.stop() }
    }
    const { folder, port, mode, groupId } = options
    const file = await UnixSocketFile.prepare(unixSocketPath(folder, port))
    let listener: BunListener | undefined
    const close = async (): Promise<void> => {
      // The file first: who finds it shall find somebody who listens.
      await file.remove()
      listener?.stop()
    }
    try {
      listener = this.#bind({ unix: file.bindPath }, (_socket, connection) => onAccept(connection))
      await file.publish(mode, groupId)
    } catch (error) {
      await close()
      throw error
    }
    return { host: folder, port, close }
  }

  async connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    const connection = new BunConnection(this.#handlers)
    const address =
      'path' in endpoint
        ? { unix: endpoint.path }
        : { hostname: endpoint.address ?? endpoint.host, port: endpoint.port }
    const connecting = bunSockets().connect({
      ...address,
      allowHalfOpen: true,
      data: connection,
      socket: this.#connectHandlers,
    })
    const socket = await unlessAborted(connecting, signal, () => {
      // An attempt cannot be called off: Bun has no socket to close yet. It goes when the system has an answer.
      connecting.then(
        (late) => late.close(),
        () => {},
      )
    }).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : withCode(error, 'connect', nameOf(endpoint))
    })
    if (!('path' in endpoint)) prepare(socket)
    return connection
  }

  #bindPort(
    host: string,
    port: number,
    onOpen: (socket: BunSocket<BunConnection>, connection: BunConnection) => void,
  ): BunListener {
    // As under Node.js: "::" beside "0.0.0.0" would be in its way if it meant both.
    if (host !== '*') return this.#bind({ hostname: host, port, ipv6Only: true }, onOpen)
    try {
      return this.#bind({ hostname: '::', port }, onOpen)
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE' || codeOf(error) === 'EACCES') throw error
      // A machine without IPv6.
      return this.#bind({ hostname: '0.0.0.0', port }, onOpen)
    }
  }

  #bind(
    address: { hostname: string; port: number; ipv6Only?: true } | { unix: string },
    onOpen: (socket: BunSocket<BunConnection>, connection: BunConnection) => void,
  ): BunListener {
    try {
      return bunSockets().listen<BunConnection>({
        ...address,
        allowHalfOpen: true,
        socket: {
          ...this.#handlers,
          open: (socket) => {
            const connection = new BunConnection(this.#handlers)
            socket.data = connection
            connection.attach(socket)
            onOpen(socket, connection)
          },
        },
      })
    } catch (error) {
      throw withCode(
        error,
        'listen',
        'unix' in address ? address.unix : `${address.hostname}:${address.port}`,
      )
    }
  }
}

function prepare(socket: BunSocket<BunConnection>): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
}

/** Rejects as soon as the signal aborts, and calls `onAbort` then. */
function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
  onAbort: () => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      onAbort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function nameOf(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.address ?? endpoint.host}:${endpoint.port}`
}

/** Bun says "Failed to connect" for everything: the same words as under Node.js help more. */
function withCode(error: unknown, call: string, where: string): unknown {
  const code = codeOf(error)
  if (code === undefined || !(error instanceof Error)) return error
  if (!error.message.includes(code)) error.message = `${call} ${code} ${where}`
  return error
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
