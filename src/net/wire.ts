import assert from 'node:assert'
import type { FlushQueue, Scratch } from './flush-queue.ts'
import type { Connection, SocketHandler, TlsSession, TlsStart } from './transport.ts'

/**
 * Wire: one socket with its Framer, write batching, back-pressure, and one way to close. Client and server
 * connections own one each. Sockets are read into a buffer shared by the process and written from scratch
 * buffers shared by the process, so an idle connection holds no buffer at all.
 */

/** Why reading is paused; it goes on when no reason is left. */
export const PauseReason = {
  /** The other side's socket is full. */
  PeerCongested: 1,
  /** Enough is held back for a server that is not there yet. */
  Held: 2,
  /** More replies are owed than the tracker should remember. */
  Owed: 4,
  /** Its own replies are not being read. */
  OutputFull: 8,
  /** SUSPEND: nothing is read at all. */
  Suspended: 16,
} as const
export type PauseReason = (typeof PauseReason)[keyof typeof PauseReason]

/** What happens to a wire, told to its connection. */
export interface WireOwner {
  onData(buffer: Buffer, start: number, end: number): void
  /** More is pending than should be: stop reading where the bytes come from. */
  onCongested(): void
  /** Nothing is pending any more. */
  onDrained(): void
  /** The handshake that startTls() began is done; only owners that call it need this. */
  onSecure?(session: TlsSession): void
  /** The peer sent FIN. */
  onPeerEnd(): void
  /** The socket is gone without close() having been called. */
  onPeerGone(error: Error | null): void
  /** The socket is really gone: right after onPeerGone(), or some time after close(). The last call. */
  onGone?(): void
}

/** After close() a peer that does not read gets this long to take the last bytes. */
const LINGER_MS = 2000
/** So much is not held back until the end of the turn: the peer can begin with it. */
const LARGE_BYTES = 32 * 1024
/** Pending bytes at which the other side stops being read. */
const HIGH_WATER_BYTES = 64 * 1024

export class Wire implements SocketHandler {
  readonly leadsToServer: boolean
  readonly #connection: Connection
  readonly #queue: FlushQueue
  readonly #owner: WireOwner
  #out: Scratch | null = null
  #outLength = 0
  #pauseReasons = 0
  #closed = false
  #linger: NodeJS.Timeout | undefined
  /** What is still read after hangUp(). */
  #maxUnwantedBytes = Number.POSITIVE_INFINITY
  congested = false
  /** The peer was cut off because it went on sending after hangUp(). */
  overran = false
  bytesReceived = 0
  bytesSent = 0

  /** `leadsToServer`: it is written before those that lead to clients. */
  constructor(connection: Connection, queue: FlushQueue, owner: WireOwner, leadsToServer = false) {
    this.leadsToServer = leadsToServer
    this.#connection = connection
    this.#queue = queue
    this.#owner = owner
    connection.setHandler(this)
  }

  /** `address:port` of the peer, for logs. */
  get peer(): string {
    const { remoteAddress, remotePort } = this.#connection
    return remoteAddress === '' ? 'unix' : `${remoteAddress}:${remotePort}`
  }

  get remotePort(): number {
    return this.#connection.remotePort
  }

  /** This end of the connection; empty where there is none to tell. */
  get localAddress(): string {
    return this.#connection.localAddress ?? ''
  }

  get localPort(): number {
    return this.#connection.localPort ?? 0
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Bytes that were written and not taken yet. */
  get pendingBytes(): number {
    return this.#closed ? 0 : this.#connection.pendingBytes + (this.#out === null ? 0 : this.#outLength)
  }

  /** Adds bytes to this turn's write. The bytes are copied: the caller's buffer may be reused at once. */
  append(buffer: Buffer, start = 0, end = buffer.length): void {
    if (this.#closed) return
    let from = start
    for (;;) {
      if (this.#out === null) {
        this.#out = this.#queue.takeScratch()
        this.#outLength = 0
        this.#queue.add(this)
      }
      const out = this.#out.buffer
      const room = out.length - this.#outLength
      if (end - from <= room) {
        copyBytes(buffer, from, end, out, this.#outLength)
        this.#outLength += end - from
        if (this.#outLength >= LARGE_BYTES) this.flush()
        return
      }
      buffer.copy(out, this.#outLength, from, from + room)
      this.#outLength += room
      from += room
      this.flush()
    }
  }

  /** Writes what was appended; called by the FlushQueue at the end of a turn. */
  flush(): void {
    const out = this.#out
    if (out === null) return
    this.#out = null
    const length = this.#outLength
    const connection = this.#connection
    this.bytesSent += length
    if (connection.pendingBytes > 0) {
      // It will not be taken now: keep no more memory for it than it has bytes.
      connection.write(Buffer.from(out.view(length)))
      this.#queue.giveScratch(out)
    } else if (connection.write(out.view(length))) {
      this.#queue.giveScratch(out)
    }
    if (!this.congested && !this.#closed && connection.pendingBytes >= HIGH_WATER_BYTES) {
      this.congested = true
      this.#owner.onCongested()
    }
  }

  /** False for connections that cannot be encrypted. */
  get canEncrypt(): boolean {
    return this.#connection.startTls !== undefined && this.#connection.remoteAddress !== ''
  }

  /** Sends what was appended and encrypts everything after it; the owner's onSecure() or onPeerGone() follows. */
  startTls(start: TlsStart): void {
    assert(this.#connection.startTls !== undefined, 'asked for with canEncrypt')
    this.flush()
    this.#connection.startTls(start)
  }

  pause(reason: PauseReason): void {
    if (this.#pauseReasons === 0 && !this.#closed) this.#connection.pause()
    this.#pauseReasons |= reason
  }

  /** `reasons` is one PauseReason, or several of them. */
  resume(reasons: number): void {
    if ((this.#pauseReasons & reasons) === 0) return
    this.#pauseReasons &= ~reasons
    if (this.#pauseReasons === 0 && !this.#closed) this.#connection.resume()
  }

  /**
   * Ends the connection: what was appended is still sent, what arrives from now on is thrown away. The
   * socket is read until the peer closes it, because closing with unread bytes would reset the connection
   * and could take the last message with it; a peer that takes longer than `lingerMs` is cut off.
   */
  close(lingerMs = LINGER_MS): void {
    if (this.#closed) return
    this.flush()
    this.#end(lingerMs)
  }

  /**
   * Ends the connection with a peer that has said goodbye, and so neither sends nor reads: what was appended is still
   * sent, but nobody waits for its end of the connection, as PostgreSQL does not.
   */
  part(): void {
    if (this.#closed) return
    this.flush()
    if (this.#connection.pendingBytes > 0) this.#end(LINGER_MS)
    else this.destroy()
  }

  /**
   * Ends the connection in the middle of something: what was appended in this turn is not sent. The socket is read
   * until the peer closes it, for `lingerMs` and `maxBytes`.
   */
  hangUp(lingerMs: number, maxBytes: number): void {
    if (this.#closed) return
    this.#releaseScratch()
    this.#maxUnwantedBytes = maxBytes
    this.#end(lingerMs)
  }

  /** Drops the connection at once, with whatever was not sent. */
  destroy(): void {
    this.#closed = true
    this.#releaseScratch()
    this.#connection.destroy()
  }

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#closed) {
      this.#maxUnwantedBytes -= end - start
      if (this.#maxUnwantedBytes >= 0) return
      this.overran = true
      this.#connection.destroy()
      return
    }
    this.bytesReceived += end - start
    this.#owner.onData(buffer, start, end)
  }

  onDrain(): void {
    if (!this.congested) return
    this.congested = false
    if (!this.#closed) this.#owner.onDrained()
  }

  onSecure(session: TlsSession): void {
    if (!this.#closed) this.#owner.onSecure?.(session)
  }

  onEnd(): void {
    if (this.#closed) this.#connection.destroy()
    else this.#owner.onPeerEnd()
  }

  onClose(error: Error | null): void {
    this.#releaseScratch()
    clearTimeout(this.#linger)
    if (!this.#closed) {
      this.#closed = true
      this.#owner.onPeerGone(error)
    }
    this.#owner.onGone?.()
  }

  #end(lingerMs: number): void {
    this.#closed = true
    this.#connection.resume()
    this.#connection.end()
    this.#linger = setTimeout(() => this.#connection.destroy(), lingerMs).unref()
  }

  #releaseScratch(): void {
    if (this.#out !== null) this.#queue.giveScratch(this.#out)
    this.#out = null
  }
}

/** Most appends are a few dozen bytes, for which a loop beats the call into Buffer.copy. */
const LOOP_BYTES = 48

function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): void {
  if (end - start > LOOP_BYTES) {
    source.copy(target, at, start, end)
    return
  }
  let to = at
  for (let i = start; i < end; i++) target[to++] = source[i] as number
}
