import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { certificateHash } from '../../../src/net/certificate-hash.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'

/** tls-server-end-point of certificates with every kind of signature. Source: RFC 5929, section 4.1. */

describe.runIf(hasOpenssl())('tls-server-end-point', () => {
  let folder: string
  let authority: CertificateAuthority

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-certificates-'))
    authority = await CertificateAuthority.create(folder)
  })
  afterAll(() => rm(folder, { recursive: true }))

  async function hashOf(pem: string): Promise<{ hash: Buffer | null; raw: Buffer }> {
    const certificate = new X509Certificate(await readFile(pem))
    return { hash: certificateHash(certificate), raw: certificate.raw }
  }

  test.each([
    ['-sha1', 'sha256'],
    ['-sha224', 'sha224'],
    ['-sha256', 'sha256'],
    ['-sha384', 'sha384'],
    ['-sha512', 'sha512'],
  ])('of a certificate signed by ECDSA with %s is its %s', async (digest, expected) => {
    const { certificate } = await authority.issue('ecdsa', { signature: [digest] })
    const { hash, raw } = await hashOf(certificate)
    expect(hash).toEqual(createHash(expected).update(raw).digest())
  })

  // Most of the time of a certificate by RSA is its key: all of these have the same one.
  describe('of a certificate signed by RSA', () => {
    let key: string

    beforeAll(() => {
      key = join(folder, 'rsa.key')
      execFileSync('openssl', ['genrsa', '-out', key, '2048'], { stdio: 'ignore' })
    })

    test.each([
      ['-md5', [], 'sha256'],
      ['-sha1', [], 'sha256'],
      ['-sha384', [], 'sha384'],
      ['-sha512', ['-sigopt', 'rsa_padding_mode:pss'], 'sha512'],
      ['-sha1', ['-sigopt', 'rsa_padding_mode:pss'], 'sha256'],
    ] as const)('with %s %s is its %s', async (digest, options, expected) => {
      const pem = join(folder, `rsa${digest}${options.length}.crt`)
      const files = ['-key', key, '-out', pem]
      execFileSync('openssl', ['req', '-x509', ...files, digest, ...options, '-subj', '/CN=rsa'], {
        stdio: 'ignore',
      })
      const { hash, raw } = await hashOf(pem)
      expect(hash).toEqual(createHash(expected).update(raw).digest())
    })
  })

  test('does not exist for Ed25519, whose signature names no hash', async () => {
    const pem = join(folder, 'ed25519.crt')
    const files = ['-keyout', join(folder, 'ed25519.key'), '-out', pem]
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ed25519', '-nodes', ...files, '-subj', '/CN=ed'], {
      stdio: 'ignore',
    })
    expect((await hashOf(pem)).hash).toBe(null)
  })

  test('does not exist for bytes that are no certificate, wherever they end', async () => {
    const { raw } = await hashOf(authority.certificate)
    for (let length = 0; length < raw.length; length += 7) {
      const cut = { raw: raw.subarray(0, length) } as unknown as X509Certificate
      expect(certificateHash(cut)).toBe(null)
    }
  })
})
