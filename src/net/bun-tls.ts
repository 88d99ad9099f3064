import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate as NodeCertificate } from 'node:tls'
import type { BunSocket, BunSocketHandlers, BunTlsSocket } from './bun-sockets.ts'
import { certificateHash } from './certificate-hash.ts'
import { POSTGRESQL_ALPN } from './tls-context.ts'
import { MAX_RECORD_BYTES, peerCertificate } from './tls-socket.ts'
import type { TlsSession, TlsStart } from './transport.ts'

/**
 * TLS over an open socket of Bun, as either side, by Bun's own upgrade: node:tls would need a stream of Node.js in
 * between. The context is node:tls's, so that files and ciphers are understood as they are under Node.js.
 * Called by BunConnection.
 */

const ALPN = Buffer.concat([Buffer.from([POSTGRESQL_ALPN.length]), Buffer.from(POSTGRESQL_ALPN)])

/** Starts the handshake; `handlers.handshake` is called when it is done, if it succeeds. */
export function startBunTls<Data>(
  socket: BunSocket<Data>,
  start: TlsStart,
  handlers: BunSocketHandlers<Data>,
): BunTlsSocket<Data> {
  const server = start.side === 'server'
  const [, encrypted] = socket.upgradeTLS({
    isServer: server,
    data: socket.data,
    socket: handlers,
    ...(server && start.received !== undefined ? { initialData: start.received } : {}),
    tls: {
      secureContext: start.context.secure.context,
      requestCert: !server || start.context.hasAuthorities,
      // Both sides look at the certificate when the handshake is done, and say what is wrong with it.
      rejectUnauthorized: false,
      ALPNProtocols: ALPN,
      // SNI carries names only (RFC 6066, section 3).
      ...(!server && isIP(start.host) === 0 ? { serverName: start.host } : {}),
    },
  })
  return encrypted
}

/** Describes the session after the handshake; throws where the peer's certificate is not what `start` demands. */
export function sessionOf<Data>(tls: BunTlsSocket<Data>, start: TlsStart): TlsSession {
  const certificate = shownCertificate(tls)
  const verified = tls.authorized && certificate !== undefined ? certificate : undefined
  const { context } = start
  if (start.side === 'server') {
    tls.setMaxSendFragment(MAX_RECORD_BYTES)
    return describe(tls, context.channelBinding, context.hasAuthorities ? verified : undefined)
  }
  if (context.verification !== 'none' && verified === undefined) {
    throw tls.getAuthorizationError() ?? new Error('the certificate could not be verified')
  }
  const wrongName =
    context.verification === 'full' && verified !== undefined
      ? checkServerIdentity(start.host, verified)
      : undefined
  if (wrongName !== undefined) throw wrongName
  const binding = certificate === undefined ? null : certificateHash(new X509Certificate(certificate.raw))
  return describe(tls, binding, verified)
}

function describe<Data>(
  tls: BunTlsSocket<Data>,
  channelBinding: Buffer | null,
  certificate: NodeCertificate | undefined,
): TlsSession {
  return {
    protocol: tls.getTLSVersion(),
    cipher: tls.getCipher().name,
    alpn: tls.alpnProtocol || null,
    channelBinding,
    peerCertificate: peerCertificate(certificate),
  }
}

function shownCertificate<Data>(tls: BunTlsSocket<Data>): NodeCertificate | undefined {
  const certificate = tls.getPeerCertificate()
  return certificate?.raw === undefined ? undefined : (certificate as NodeCertificate)
}
