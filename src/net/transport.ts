/**
 * Transport: all that the pooler asks of a runtime's sockets. One file per runtime implements it;
 * `net/wire.ts` is the only user of a Connection.
 */

/** Events of one socket. */
export interface SocketHandler {
  /** Bytes arrived; `buffer` is shared by all sockets and valid during the call only. */
  onData(buffer: Buffer, start: number, end: number): void
  /** All that was written has been taken by the kernel, after a write that was not. */
  onDrain(): void
  /** The peer will send nothing more (FIN). */
  onEnd(): void
  /** The socket is gone; called once, with the error if there was one. */
  onClose(error: Error | null): void
}

export interface Connection {
  /** Who receives the events. */
  setHandler(handler: SocketHandler): void
  /**
   * Sends bytes. True: the kernel took them all and the memory may be reused. False: the memory belongs to
   * the socket from now on.
   */
  write(bytes: Buffer): boolean
  /** Bytes that the kernel has not taken yet. */
  readonly pendingBytes: number
  pause(): void
  resume(): void
  /** Sends FIN after what is pending. */
  end(): void
  /** Drops the socket and what is pending at once. */
  destroy(): void
  /** Address of the peer for logs; empty for unix sockets. */
  readonly remoteAddress: string
  readonly remotePort: number
}

export interface ListenOptions {
  /** An address, or "*" for all of the machine's. */
  readonly host: string
  readonly port: number
  readonly backlog: number
}

export interface BoundListener {
  readonly host: string
  readonly port: number
  /** Stops accepting; open connections stay. */
  close(): Promise<void>
}

/** A TCP address, or the path of a unix socket. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string }

export interface Transport {
  listen(options: ListenOptions, onAccept: (connection: Connection) => void): Promise<BoundListener>
  /** Resolves when connected; rejects with the system's error, or with the signal's reason when it aborts. */
  connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection>
}
