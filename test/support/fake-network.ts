import { strict as assert } from 'node:assert'
import type { FlushQueue } from '../../src/net/flush-queue.ts'
import type {
  BoundListener,
  Connection,
  Endpoint,
  SocketHandler,
  Transport,
} from '../../src/net/transport.ts'

/**
 * FakeNetwork: connections in memory, for tests of everything above the sockets. Nothing happens by itself and
 * nothing takes time: bytes are delivered in the order in which they were sent, one chunk per turn, as the real
 * transport delivers them. What a socket would punish later is checked at once: a view that is kept after its
 * turn reads garbage, a buffer that is reused while the socket still owns it fails the test.
 */

const GARBAGE = 0xdb
/** Chunks are delivered at an offset, as views into a larger buffer. */
const OFFSET = 3

/** What the other end sees of a FakeConnection. */
export interface FakeEnd {
  /** Bytes were written to the connection, in one write. */
  onWritten(bytes: Buffer): void
  /** The pooler sent FIN or dropped the connection. */
  onGone(): void
}

export class FakeConnection implements Connection {
  readonly remoteAddress = '192.0.2.1'
  readonly remotePort = 1234
  /** Every write, copied. */
  readonly writes: Buffer[] = []
  paused = false
  ended = false
  destroyed = false
  /** The kernel takes nothing: writes are pending until drain(). */
  stalled = false
  peer: FakeEnd | null = null
  readonly #network: FakeNetwork
  readonly #inbox: (Buffer | 'end' | { readonly lost: Error | null })[] = []
  readonly #pending: { readonly owned: Buffer; readonly copy: Buffer }[] = []
  #handler: SocketHandler | null = null
  #closed = false

  constructor(network: FakeNetwork) {
    this.#network = network
  }

  get pendingBytes(): number {
    return this.#pending.reduce((bytes, { copy }) => bytes + copy.length, 0)
  }

  /** Chunks that wait for resume(). */
  get unread(): number {
    return this.#inbox.length
  }

  setHandler(handler: SocketHandler): void {
    this.#handler = handler
  }

  write(bytes: Buffer): boolean {
    if (this.destroyed || this.ended) return true
    const copy = Buffer.from(bytes)
    this.writes.push(copy)
    if (this.stalled) {
      this.#pending.push({ owned: bytes, copy })
      return false
    }
    this.#network.later(() => this.peer?.onWritten(copy))
    return true
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.#network.later()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    this.#network.later(() => this.peer?.onGone())
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.#inbox.push({ lost: null })
    this.#network.later(() => this.peer?.onGone())
  }

  /** The peer sends one chunk. */
  receive(bytes: Buffer): void {
    this.#inbox.push(Buffer.from(bytes))
    this.#network.schedule()
  }

  /** The peer sends FIN. */
  receiveEnd(): void {
    this.#inbox.push('end')
    this.#network.schedule()
  }

  /** The connection is lost. */
  lose(error: Error | null = null): void {
    this.#inbox.push({ lost: error })
    this.#network.schedule()
  }

  /** The kernel takes what is pending, and everything from now on. */
  drain(): void {
    this.stalled = false
    for (const { owned, copy } of this.#pending.splice(0)) {
      assert(owned.equals(copy), 'bytes that belong to the socket were overwritten')
      this.peer?.onWritten(copy)
    }
    this.#handler?.onDrain()
    this.#network.schedule()
  }

  /** Delivers the next event, if the pooler reads; for FakeNetwork. */
  deliverNext(queue: FlushQueue): boolean {
    const handler = this.#handler
    const [next] = this.#inbox
    if (next === undefined || handler === null || this.#closed) return false
    // A lost connection is noticed at once; bytes and FIN only by who reads.
    if (this.paused && !this.destroyed && (Buffer.isBuffer(next) || next === 'end')) return false
    this.#inbox.shift()
    if (next === 'end') {
      if (!this.destroyed) handler.onEnd()
    } else if (Buffer.isBuffer(next)) {
      if (!this.destroyed) this.#deliver(handler, queue, next)
    } else {
      this.#closed = true
      this.destroyed = true
      handler.onClose(next.lost)
    }
    return true
  }

  #deliver(handler: SocketHandler, queue: FlushQueue, bytes: Buffer): void {
    const chunk = Buffer.alloc(OFFSET + bytes.length + OFFSET, GARBAGE)
    bytes.copy(chunk, OFFSET)
    queue.beginTurn()
    try {
      handler.onData(chunk, OFFSET, OFFSET + bytes.length)
    } finally {
      chunk.fill(GARBAGE)
      queue.endTurn()
    }
  }
}

export class FakeNetwork implements Transport {
  /** Takes the other end of each connection that the pooler opens. */
  onConnect: (connection: FakeConnection, endpoint: Endpoint) => void = () => {}
  /** Connections that the pooler opens fail with this. */
  refusal: Error | null = null
  /** Connections wait here until release() if this is set. */
  holdConnects = false
  readonly #queue: FlushQueue
  readonly #connections: FakeConnection[] = []
  readonly #waiting: (() => void)[] = []
  #delivering = false

  constructor(queue: FlushQueue) {
    this.#queue = queue
  }

  listen(): Promise<BoundListener> {
    return Promise.reject(new Error('nobody listens in memory'))
  }

  async connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection> {
    if (this.holdConnects) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve)
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
    }
    if (this.refusal !== null) throw this.refusal
    signal.throwIfAborted()
    const connection = this.open()
    this.onConnect(connection, endpoint)
    return connection
  }

  /** Lets the connections through that wait because of `holdConnects`. */
  releaseConnects(): void {
    this.holdConnects = false
    for (const resume of this.#waiting.splice(0)) resume()
  }

  /** A new connection, for the end that a test plays. */
  open(): FakeConnection {
    const connection = new FakeConnection(this)
    this.#connections.push(connection)
    return connection
  }

  /** Something was done by the pooler: `effect` on the other end happens now, its answers after this turn. */
  later(effect: () => void = () => {}): void {
    const outside = !this.#delivering
    this.#delivering = true
    try {
      effect()
    } finally {
      if (outside) {
        this.#delivering = false
        queueMicrotask(() => this.schedule())
      }
    }
  }

  /** Delivers whatever can be delivered, unless that is already being done. */
  schedule(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (this.#connections.some((connection) => connection.deliverNext(this.#queue)));
    } finally {
      this.#delivering = false
    }
  }
}
