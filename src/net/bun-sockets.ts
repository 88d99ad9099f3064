import type { PeerCertificate } from 'node:tls'

/**
 * bunSockets: what this program uses of the global `Bun`, as far as it uses it. The package with Bun's own types is
 * left out because it changes the types of Node.js for all files. Source: Bun's documentation, "TCP sockets".
 */

export interface BunSocket<Data> {
  /** Whatever its owner wants to find in each event. */
  data: Data
  readonly fd: number
  /** Undefined for unix sockets and for sockets that are gone. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly localAddress: string | undefined
  readonly localPort: number | undefined
  /** How many bytes the kernel took, or were encrypted and taken; negative if the socket is gone. */
  write(bytes: Uint8Array, offset: number, length: number): number
  pause(): void
  resume(): void
  /** Sends FIN; the other direction goes on. When both are done the socket closes by itself. */
  shutdown(): void
  /** Closes the descriptor; `close` is called before it returns. (`terminate` would reset the connection.) */
  close(): void
  setNoDelay(on: boolean): boolean
  setKeepAlive(on: boolean, initialDelayMs: number): boolean
  /** The socket itself, which sees encrypted bytes from now on, and the encrypted one. */
  upgradeTLS(options: BunTlsUpgrade<Data>): [BunSocket<Data>, BunTlsSocket<Data>]
}

export interface BunTlsSocket<Data> extends BunSocket<Data> {
  /** True if an authority vouches for the peer's certificate; also true where it has shown none. */
  readonly authorized: boolean
  readonly alpnProtocol: string | false | null
  getTLSVersion(): string
  getCipher(): { readonly name: string }
  /** Empty, or null, where the peer has shown none. */
  getPeerCertificate(): Partial<PeerCertificate> | null | undefined
  getAuthorizationError(): Error | null
  setMaxSendFragment(bytes: number): boolean
}

export interface BunTlsUpgrade<Data> {
  readonly isServer: boolean
  readonly data: Data
  readonly socket: BunSocketHandlers<Data>
  /** What was read of the handshake already. */
  readonly initialData?: Buffer
  readonly tls: {
    /** The inner part of a SecureContext of node:tls. */
    readonly secureContext: unknown
    readonly requestCert: boolean
    readonly rejectUnauthorized: boolean
    /** As they are sent: each preceded by its length. */
    readonly ALPNProtocols: Buffer
    /** What is sent as SNI; empty for nothing. */
    readonly serverName: string
  }
}

/** All sockets of one kind share one of these. */
export interface BunSocketHandlers<Data> {
  open?(socket: BunSocket<Data>): void
  /** The buffer is the receiver's. */
  data(socket: BunSocket<Data>, bytes: Buffer): void
  /** Called more often than there was something to wait for. */
  drain(socket: BunSocket<Data>): void
  end(socket: BunSocket<Data>): void
  close(socket: BunSocket<Data>, error?: Error | null): void
  handshake?(socket: BunTlsSocket<Data>, success: boolean, error: Error | null): void
}

export interface BunListener {
  readonly hostname: string
  readonly port: number
  /** Accepts nobody any more; open sockets stay. */
  stop(): void
}

type Address =
  | { readonly hostname: string; readonly port: number; readonly ipv6Only?: true }
  | { readonly unix: string }

export interface BunSockets {
  /** Throws the system's error. */
  listen<Data>(
    options: Address & { readonly allowHalfOpen: true; readonly socket: BunSocketHandlers<Data> },
  ): BunListener
  /** Rejects with the system's error. */
  connect<Data>(
    options: Address & {
      readonly allowHalfOpen: true
      readonly data: Data
      readonly socket: BunSocketHandlers<Data>
    },
  ): Promise<BunSocket<Data>>
}

/** Only under Bun. */
export function bunSockets(): BunSockets {
  return (globalThis as unknown as { Bun: BunSockets }).Bun
}
