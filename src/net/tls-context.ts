import { constants, X509Certificate } from 'node:crypto'
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls'
import { PoolerError, SqlState } from '../errors.ts'
import { certificateHash } from './certificate-hash.ts'

/**
 * TlsContext: key, certificate, authorities and ciphers of one side, ready for handshakes. It never changes:
 * a reload makes a new one for new connections, while handshakes and connections of the old one go on.
 * Made by TlsDirectory.
 */

/** PEM texts and settings that a context is made from. */
export interface TlsMaterial {
  /** What the names of their settings begin with, and which database has them, for messages. */
  readonly prefix: 'client_tls' | 'server_tls'
  readonly where: string
  readonly key: Buffer | undefined
  readonly certificate: Buffer | undefined
  readonly authorities: Buffer | undefined
  readonly protocols: readonly string[]
  readonly ciphers: string
  readonly tls13Ciphers: string | undefined
}

/** What of the peer's certificate is verified: nothing, who vouches for it, and that it names the host. */
export type TlsVerification = 'none' | 'ca' | 'full'

/** ALPN name of the protocol. Source: PostgreSQL documentation, "SSL Session Encryption". */
export const POSTGRESQL_ALPN = 'postgresql'

/** Under Bun: `error:1000042e:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION`. */
const BORINGSSL_ERROR = /^error:[0-9a-f]+:[^:]*:[^:]*:(\w+)$/
const PEM_BEGIN = /-----BEGIN CERTIFICATE-----/g
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

export class TlsContext {
  readonly secure: SecureContext
  readonly verification: TlsVerification
  /** True where a certificate of the peer can be verified at all. */
  readonly hasAuthorities: boolean
  /** tls-server-end-point of the context's own certificate (RFC 5929); null without one. */
  readonly channelBinding: Buffer | null

  /**
   * Throws PoolerError F0000 when key, certificate, authorities or ciphers are unusable, or the runtime cannot do
   * what is asked.
   */
  constructor(material: TlsMaterial, verification: TlsVerification) {
    const { prefix, where, key, certificate, authorities } = material
    this.verification = verification
    this.hasAuthorities = authorities !== undefined
    checkRuntime(material)
    if (authorities !== undefined) checkAuthorities(authorities, `${prefix}_ca_file${where}`)
    try {
      this.secure = createSecureContext({
        ...(key === undefined ? {} : { key }),
        ...(certificate === undefined ? {} : { cert: certificate }),
        // Without authorities nothing may be trusted: Node would take those of Mozilla.
        ca: authorities ?? [],
        ...protocolRange(material.protocols),
        ciphers: cipherList(material),
        honorCipherOrder: true,
        // Sessions are not resumed, as in PostgreSQL: a ticket would outlive the certificate it stands for.
        secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
        sessionIdContext: 'pooler',
      })
      this.channelBinding =
        certificate === undefined ? null : certificateHash(new X509Certificate(certificate))
    } catch (cause) {
      throw new PoolerError(
        SqlState.ConfigurationError,
        `${prefix}_key_file, _cert_file or the ciphers${where} cannot be used (${opensslReason(cause)}): ` +
          'check that the files are PEM, that they belong together, and that the key has no passphrase',
        { cause },
      )
    }
  }
}

/** BoringSSL always offers its own ciphers of TLS 1.3, and says nothing when others are asked for. */
function checkRuntime({ prefix, where, tls13Ciphers }: TlsMaterial): void {
  if (tls13Ciphers === undefined || process.versions.bun === undefined) return
  throw new PoolerError(
    SqlState.ConfigurationError,
    `${prefix}13_ciphers${where} cannot be set under Bun, which chooses the ciphers of TLS 1.3 itself: leave it out, ` +
      'or run the pooler under Node.js',
  )
}

/** OpenSSL's reason for a failure, without its file names and line numbers. */
export function opensslReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('reason' in error && typeof error.reason === 'string') return inWords(error.reason)
  const line = error.message.split('\n')[0] ?? error.message
  return inWords(BORINGSSL_ERROR.exec(line)?.[1] ?? line)
}

/** BoringSSL, under Bun, spells a reason KEY_VALUES_MISMATCH. */
function inWords(reason: string): string {
  return /^[A-Z0-9_]+$/.test(reason) ? reason.toLowerCase().replaceAll('_', ' ') : reason
}

/** Node skips what it cannot read in a file of authorities, so a broken file would mean "trust nobody". */
function checkAuthorities(pem: Buffer, setting: string): void {
  const text = pem.toString('latin1')
  const blocks = text.match(PEM_CERTIFICATE) ?? []
  const begun = text.match(PEM_BEGIN)?.length ?? 0
  try {
    if (begun === 0) throw new Error('it has no BEGIN CERTIFICATE line')
    if (blocks.length < begun) throw new Error(`one of its ${begun} certificates is damaged`)
    for (const block of blocks) new X509Certificate(block)
  } catch (cause) {
    throw new PoolerError(
      SqlState.ConfigurationError,
      `${setting} does not hold certificates in PEM: ${opensslReason(cause)}`,
      { cause },
    )
  }
}

function protocolRange(protocols: readonly string[]): {
  minVersion: 'TLSv1.2' | 'TLSv1.3'
  maxVersion: 'TLSv1.2' | 'TLSv1.3'
} {
  const all = protocols.includes('secure')
  return {
    minVersion: all || protocols.includes('tlsv1.2') ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: all || protocols.includes('tlsv1.3') ? 'TLSv1.3' : 'TLSv1.2',
  }
}

/** Node takes both kinds in one list and tells them apart by their names. */
function cipherList({ ciphers, tls13Ciphers }: TlsMaterial): string {
  const isTls13 = (name: string): boolean => name.startsWith('TLS_')
  const defaults = DEFAULT_CIPHERS.split(':')
  const older = ciphers === 'default' ? defaults.filter((name) => !isTls13(name)).join(':') : ciphers
  return `${tls13Ciphers ?? defaults.filter(isTls13).join(':')}:${older}`
}
