import { createHash, type X509Certificate } from 'node:crypto'

/**
 * certificateHash: a certificate -> the channel binding data tls-server-end-point that both ends of a SCRAM
 * login over TLS compute. Source: RFC 5929, section 4.1; the object identifiers are those of RFC 8017 (RSA),
 * RFC 5758 (DSA, ECDSA) and RFC 5912.
 */

const SEQUENCE = 0x30
const OBJECT_IDENTIFIER = 0x06
const FIRST_CONTEXT_TAG = 0xa0

/** Contents of OBJECT IDENTIFIERs in hexadecimal. MD5 and SHA-1 are replaced by SHA-256, as the RFC demands. */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha256',
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2a8648ce380403': 'sha256',
  '608648016503040301': 'sha224',
  '608648016503040302': 'sha256',
}
const RSASSA_PSS = '2a864886f70d01010a'
/** The hash is a parameter of RSASSA-PSS. */
const PSS_HASHES: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha256',
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

/** One element of DER: where its contents are. */
interface Element {
  readonly tag: number
  readonly start: number
  readonly end: number
}

/**
 * The hash of the whole certificate by the hash function of its signature; null where the signature has none
 * (Ed25519) or an unknown one: then there is no channel binding.
 */
export function certificateHash(certificate: X509Certificate): Buffer | null {
  const der = certificate.raw
  const algorithm = signatureHash(der)
  return algorithm === null ? null : createHash(algorithm).update(der).digest()
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OID, parameters }, ... } */
function signatureHash(der: Buffer): string | null {
  const certificate = element(der, 0, der.length, SEQUENCE)
  const signed = certificate && element(der, certificate.start, certificate.end, SEQUENCE)
  const algorithm = certificate && signed && element(der, signed.end, certificate.end, SEQUENCE)
  const identifier = algorithm && element(der, algorithm.start, algorithm.end, OBJECT_IDENTIFIER)
  if (!algorithm || !identifier) return null
  const name = der.toString('hex', identifier.start, identifier.end)
  if (name !== RSASSA_PSS) return SIGNATURE_HASHES[name] ?? null
  return pssHash(der, identifier.end, algorithm.end)
}

/** RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] SEQUENCE { OID } DEFAULT sha1, ... } */
function pssHash(der: Buffer, start: number, end: number): string | null {
  const parameters = element(der, start, end, SEQUENCE)
  const tagged = parameters && element(der, parameters.start, parameters.end, FIRST_CONTEXT_TAG)
  // The default is SHA-1, for which SHA-256 stands in.
  if (!tagged) return parameters ? 'sha256' : null
  const hash = element(der, tagged.start, tagged.end, SEQUENCE)
  const identifier = hash && element(der, hash.start, hash.end, OBJECT_IDENTIFIER)
  return identifier ? (PSS_HASHES[der.toString('hex', identifier.start, identifier.end)] ?? null) : null
}

/** The element at `start`, or null if it has another tag or does not fit. */
function element(der: Buffer, start: number, limit: number, tag: number): Element | null {
  const first = der[start + 1]
  if (start + 2 > limit || der[start] !== tag || first === undefined) return null
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  if (lengthBytes > 4 || start + 2 + lengthBytes > limit) return null
  const length = lengthBytes === 0 ? first : der.readUIntBE(start + 2, lengthBytes)
  const contents = start + 2 + lengthBytes
  return contents + length > limit ? null : { tag, start: contents, end: contents + length }
}
