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

const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'
const ALPN = Buffer.concat([Buffer.from([POSTGRESQL_ALPN.length]), Buffer.from(POSTGRESQL_ALPN)])

/** Starts the handshake; `handlers.handshake` is called when it is over. */
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
      // SNI carries names only (RFC 6066, section 3); without any Bun would send what it was told to connect to.
      serverName: !server && isIP(start.host) === 0 ? start.host : '',
    },
  })
  return encrypted
}

/**
 * Describes the session when Bun says that the handshake is over. Throws where it failed, and where the peer's
 * certificate is not what `start` demands.
 */
export function sessionOf<Data>(
  tls: BunTlsSocket<Data>,
  start: TlsStart,
  success: boolean,
  error: Error | null,
): TlsSession {
  const certificate = shownCertificate(tls)
  if (!success && !isOnlyCertificate(tls, certificate, error)) {
    throw error ?? new Error('it failed for no reason that Bun tells')
  }
  const { context } = start
  if (start.side === 'server') {
    tls.setMaxSendFragment(MAX_RECORD_BYTES)
    const verified = context.hasAuthorities && tls.authorized ? certificate : undefined
    return describe(tls, context.channelBinding, verified)
  }
  const problem = error ?? (tls.authorized ? null : new Error('the certificate could not be verified'))
  // Bun compares the names whether or not they matter, and only where an authority vouches for the certificate.
  const chainProblem = codeOf(problem) === WRONG_NAME ? null : problem
  if (context.verification !== 'none') {
    if (chainProblem !== null || certificate === undefined) throw chainProblem ?? new Error('no certificate')
    const wrongName =
      context.verification === 'full' ? checkServerIdentity(start.host, certificate) : undefined
    if (wrongName !== undefined) throw wrongName
  }
  const binding = certificate === undefined ? null : certificateHash(new X509Certificate(certificate.raw))
  return describe(tls, binding, chainProblem === null ? certificate : undefined)
}

/** True where the handshake is complete, and Bun calls it a failure for what it thinks of the certificate. */
function isOnlyCertificate<Data>(
  tls: BunTlsSocket<Data>,
  certificate: NodeCertificate | undefined,
  error: Error | null,
): boolean {
  const code = codeOf(error)
  if (certificate === undefined || code === undefined || code === 'EPROTO') return false
  return code === codeOf(tls.getAuthorizationError())
}

function codeOf(error: Error | null): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code
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
