import type { TlsContext } from './tls-context.ts'
import type { ServerTls } from './tls-directory.ts'

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
  /** The handshake that startTls() began is done. Where it fails, onClose follows instead. */
  onSecure(session: TlsSession): void
  /** The peer will send nothing more (FIN). */
  onEnd(): void
  /** The socket is gone; called once, with the error if there was one. */
  onClose(error: Error | null): void
}

export interface Connection {
  /** Who receives the events. */
  setHandler(handler: SocketHandler): void
  /**
   * Sends bytes. True: they were taken whole (by the kernel, or encrypted) and the memory may be reused. False:
   * the memory belongs to the socket from now on.
   */
  write(bytes: Buffer): boolean
  /** Bytes that the kernel has not taken yet. */
  readonly pendingBytes: number
  /**
   * Encrypts everything from here on; onSecure() or onClose() tells how the handshake ended. Nothing is sent
   * or received meanwhile: writes are dropped, and end() drops the connection. Absent where there is no
   * encryption: connections in memory.
   */
  startTls?(start: TlsStart): void
  pause(): void
  resume(): void
  /** Sends FIN after what is pending. */
  end(): void
  /** Drops the socket and what is pending at once. */
  destroy(): void
  /** Address of the peer for logs; empty for unix sockets. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** This end; absent where nobody needs to know. */
  readonly localAddress?: string
  readonly localPort?: number
  /** The number of its file descriptor, where the runtime tells it. */
  readonly descriptor?: number | undefined
}

/** How a connection is encrypted. */
export interface TlsSession {
  /** As OpenSSL calls them: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`. */
  readonly protocol: string
  readonly cipher: string
  /** The application protocol that both agreed on (ALPN); null without. */
  readonly alpn: string | null
  /** tls-server-end-point of the certificate that the accepting side showed; null where it has none (RFC 5929). */
  readonly channelBinding: Buffer | null
  /** The peer's certificate, if it has shown one for which an authority of the context vouches. */
  readonly peerCertificate: PeerCertificate | null
}

export interface PeerCertificate {
  /** CN of the subject, the first if there are several; empty where it has none. */
  readonly commonName: string
}

export type TlsStart =
  | {
      readonly side: 'server'
      readonly context: TlsContext
      /** What was read of the peer's handshake already; the memory belongs to the connection from now on. */
      readonly received?: Buffer
    }
  | {
      readonly side: 'client'
      readonly context: TlsContext
      /** The name or address that was connected to: sent as SNI if it is a name, and what 'full' verifies. */
      readonly host: string
    }

export type ListenOptions = {
  readonly port: number
  readonly backlog: number
} & (
  | {
      /** An address, or "*" for all of the machine's. */
      readonly host: string
    }
  | {
      /** Where the unix socket shall be, and who may connect; its group stays the process's unless one is given. */
      readonly folder: string
      readonly mode: number
      readonly groupId?: number
    }
)

export interface BoundListener {
  /** An address, or the folder of a unix socket. */
  readonly host: string
  readonly port: number
  /** Stops accepting, and removes the unix socket's file; open connections stay. */
  close(): Promise<void>
}

/**
 * A TCP address, or the path of a unix socket, which never uses TLS. `host` is what was configured, which is what
 * TLS verifies; where that is a name, `address` is what it stands for. `tls` is asked for each connection, so that
 * a reload is seen; without it there is no TLS.
 */
export type Endpoint =
  | {
      readonly host: string
      readonly port: number
      readonly address?: string
      readonly tls?: () => ServerTls
    }
  | { readonly path: string }

export interface Transport {
  /** `onError` hears of connections that could not be accepted; the listener goes on. */
  listen(
    options: ListenOptions,
    onAccept: (connection: Connection) => void,
    onError?: (error: Error) => void,
  ): Promise<BoundListener>
  /** Resolves when connected; rejects with the system's error, or with the signal's reason when it aborts. */
  connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection>
}
