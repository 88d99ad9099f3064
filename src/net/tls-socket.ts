import { X509Certificate } from 'node:crypto'
import { isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect, type PeerCertificate as NodeCertificate, TLSSocket } from 'node:tls'
import { certificateHash } from './certificate-hash.ts'
import { opensslReason, POSTGRESQL_ALPN } from './tls-context.ts'
import type { PeerCertificate, TlsSession, TlsStart } from './transport.ts'

/**
 * TLS over an open socket of node:net, as either side. Called by NodeConnection, which owns both sockets.
 * Source: PostgreSQL documentation, "SSL Session Encryption"; RFC 7301 (ALPN), RFC 6125 (host names).
 */

/** libpq before 9.4.9 hangs when a record is larger than its own input buffer. */
export const MAX_RECORD_BYTES = 8192

/** Starts the handshake over `socket`, which must not be used any more. `onSecure` is called when it is done. */
export function startTlsOn(
  socket: Socket,
  start: TlsStart,
  onSecure: (session: TlsSession) => void,
): TLSSocket {
  socket.pause()
  return start.side === 'server' ? accept(socket, start, onSecure) : open(socket, start, onSecure)
}

/** Why the connection ended before the handshake did. */
export function handshakeError(cause: Error | null): Error {
  const reason = cause === null ? 'the other side closed the connection' : opensslReason(cause)
  return new Error(`TLS handshake failed: ${reason}`, { cause })
}

function accept(
  socket: Socket,
  { context, received }: TlsStart & { side: 'server' },
  onSecure: (session: TlsSession) => void,
): TLSSocket {
  if (received !== undefined) socket.unshift(received)
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: context.secure,
    // Who shows no certificate, or a wrong one, is told so in a message of PostgreSQL's protocol.
    requestCert: context.hasAuthorities,
    rejectUnauthorized: false,
    ALPNProtocols: [POSTGRESQL_ALPN],
  })
  tls.setMaxSendFragment(MAX_RECORD_BYTES)
  // A TLSSocket that belongs to no tls.Server reports its errors by this event only.
  tls.on('_tlsError', (error: Error) => tls.destroy(error))
  tls.once('secure', () => {
    const certificate = context.hasAuthorities && isVerified(tls) ? shownCertificate(tls) : undefined
    onSecure(describe(tls, context.channelBinding, certificate))
  })
  return tls
}

function open(
  socket: Socket,
  { context, host }: TlsStart & { side: 'client' },
  onSecure: (session: TlsSession) => void,
): TLSSocket {
  const tls = connect({
    socket,
    host,
    // SNI carries names only (RFC 6066, section 3).
    ...(isIP(host) === 0 ? { servername: host } : {}),
    secureContext: context.secure,
    ALPNProtocols: [POSTGRESQL_ALPN],
    rejectUnauthorized: context.verification !== 'none',
    checkServerIdentity: (_name, certificate) =>
      context.verification === 'full' ? checkServerIdentity(host, certificate) : undefined,
  })
  tls.once('secureConnect', () => {
    const certificate = shownCertificate(tls)
    const binding = certificate === undefined ? null : certificateHash(new X509Certificate(certificate.raw))
    onSecure(describe(tls, binding, tls.authorized ? certificate : undefined))
  })
  return tls
}

function describe(
  tls: TLSSocket,
  channelBinding: Buffer | null,
  certificate: NodeCertificate | undefined,
): TlsSession {
  return {
    protocol: tls.getProtocol() ?? '',
    cipher: tls.getCipher().name,
    alpn: tls.alpnProtocol === false || tls.alpnProtocol === null ? null : tls.alpnProtocol,
    channelBinding,
    peerCertificate: peerCertificate(certificate),
  }
}

export function peerCertificate(certificate: NodeCertificate | undefined): PeerCertificate | null {
  if (certificate === undefined) return null
  const names: unknown = certificate.subject?.CN
  const first: unknown = Array.isArray(names) ? names[0] : names
  const commonName = typeof first === 'string' ? first : ''
  // A NUL byte would make programs that stop at it read another name: such a certificate counts as none.
  return commonName.includes('\0') ? null : { commonName }
}

/**
 * Whether an authority of the context vouches for the peer's certificate, if it has one. A TLSSocket tells
 * this through its tls.Server only; without that the answer is asked of its handle, and missing is no.
 */
function isVerified(tls: TLSSocket): boolean {
  const { ssl } = tls as unknown as { ssl: { verifyError?: () => Error | null } | null }
  return ssl !== null && typeof ssl.verifyError === 'function' && ssl.verifyError() === null
}

/**
 * The peer's certificate, undefined if it has shown none. Not getPeerX509Certificate(): on the connecting side
 * that one takes the certificate out of the session, and works once.
 */
function shownCertificate(tls: TLSSocket): NodeCertificate | undefined {
  const certificate: Partial<NodeCertificate> = tls.getPeerCertificate()
  return certificate.raw === undefined ? undefined : (certificate as NodeCertificate)
}
