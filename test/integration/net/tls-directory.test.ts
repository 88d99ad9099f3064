import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import { TlsDirectory } from '../../../src/net/tls-directory.ts'
import { CertificateAuthority, type CertificateFiles, hasOpenssl } from '../../support/certificates.ts'

/** What a start says about settings and files that do not fit together, and which context a connection gets. */

describe.runIf(hasOpenssl())('TLS settings', () => {
  let folder: string
  let authority: CertificateAuthority
  let pair: CertificateFiles
  let other: CertificateFiles
  let broken: string
  let half: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-tls-'))
    authority = await CertificateAuthority.create(folder)
    pair = await authority.issue('one')
    other = await authority.issue('other')
    broken = join(folder, 'broken.crt')
    await writeFile(broken, 'this is not PEM\n')
    half = join(folder, 'half.crt')
    const whole = await readFile(authority.certificate, 'utf8')
    await writeFile(half, whole.slice(0, whole.length / 2) + whole)
  })
  afterAll(() => rm(folder, { recursive: true }))

  const load = (input: ConfigInput): Promise<TlsDirectory> => TlsDirectory.load(buildConfig(input))
  const clients = (extra: ConfigInput['pooler'] = {}): ConfigInput => ({
    pooler: {
      client_tls_sslmode: 'require',
      client_tls_key_file: pair.key,
      client_tls_cert_file: pair.certificate,
      ...extra,
    },
  })

  test.each<[string, () => ConfigInput, RegExp]>([
    [
      'a mode without a key',
      () => ({ pooler: { client_tls_sslmode: 'allow' } }),
      /client_tls_sslmode "allow" needs client_tls_key_file, which is not set/,
    ],
    [
      'a key without its certificate',
      () => ({ pooler: { client_tls_sslmode: 'allow', client_tls_key_file: pair.key } }),
      /needs client_tls_cert_file/,
    ],
    [
      'a file that is not there',
      () => clients({ client_tls_key_file: join(folder, 'nowhere.key') }),
      /cannot read client_tls_key_file .*nowhere\.key: ENOENT; create it or make it readable/,
    ],
    ['another key', () => clients({ client_tls_key_file: other.key }), /key values mismatch/],
    ['a certificate that is none', () => clients({ client_tls_cert_file: broken }), /client_tls_key_file/],
    [
      'authorities that are none',
      () => clients({ client_tls_ca_file: broken }),
      /client_tls_ca_file does not hold certificates in PEM/,
    ],
    [
      'authorities of which one is cut short',
      () => clients({ client_tls_ca_file: half }),
      /client_tls_ca_file does not hold certificates in PEM: one of its 2 certificates is damaged/,
    ],
    [
      'verify-ca without authorities',
      () => clients({ client_tls_sslmode: 'verify-ca' }),
      /client_tls_sslmode "verify-ca" needs client_tls_ca_file/,
    ],
    ['unknown ciphers', () => clients({ client_tls_ciphers: 'NO-SUCH' }), /no cipher match/],
    [
      'unknown ciphers of TLS 1.3',
      () => clients({ client_tls13_ciphers: 'TLS_NO_SUCH' }),
      process.versions.bun === undefined
        ? /client_tls_key_file, _cert_file or the ciphers cannot be used/
        : /^client_tls13_ciphers cannot be set under Bun, which chooses the ciphers of TLS 1.3 itself/,
    ],
    [
      'verify-full of one database without authorities',
      () => ({ databases: { app: { server_tls_sslmode: 'verify-full' } } }),
      /server_tls_sslmode "verify-full" \(databases\."app"\) needs server_tls_ca_file/,
    ],
    [
      'half a client certificate',
      () => ({ databases: { '*': { server_tls_cert_file: pair.certificate } } }),
      /server_tls_key_file \(databases\."\*"\) is not set: key and certificate need each other/,
    ],
    [
      'direct TLS where plain text is allowed',
      () => ({ databases: { app: { server_tls_sslnegotiation: 'direct' } } }),
      /"direct" \(databases\."app"\) needs server_tls_sslmode "require".*it is "prefer"/,
    ],
  ])('are refused with %s', async (_what, input, message) => {
    await expect(load(input())).rejects.toMatchObject({
      sqlState: 'F0000',
      message: expect.stringMatching(message),
    })
  })

  test.each(['tlsv1.0', 'tlsv1.1', 'all', 'legacy'])(
    'refuse the protocols "%s", which nobody should use',
    (name) => {
      expect(() => buildConfig({ pooler: { client_tls_protocols: name } })).toThrow(/forbidden by RFC 8996/)
    },
  )

  test('of a database win over those of [pooler], and equal ones share a context', async () => {
    const directory = await load({
      pooler: { server_tls_ca_file: authority.certificate },
      databases: {
        strict: { server_tls_sslmode: 'verify-full' },
        strict_too: { server_tls_sslmode: 'verify-full' },
        never: { server_tls_sslmode: 'disable' },
        '*': {},
      },
    })
    expect(directory.server('strict')).toBe(directory.server('strict_too'))
    expect(directory.server('strict')).toMatchObject({ mode: 'verify-full', direct: false })
    expect(directory.server('never')).toEqual({ mode: 'disable' })
    expect(directory.server('anything')).toMatchObject({ mode: 'prefer' })
    expect(directory.clients).toBe(null)
  })

  test('stay as they were when a reload finds a bad file, and change when it does not', async () => {
    const directory = await load(clients())
    const before = directory.clients
    await expect(
      directory.reload(buildConfig(clients({ client_tls_cert_file: broken }))),
    ).rejects.toMatchObject({
      sqlState: 'F0000',
    })
    expect(directory.clients).toBe(before)
    await directory.reload()
    expect(directory.clients).not.toBe(before)
    expect(directory.clients?.context.channelBinding).toEqual(before?.context.channelBinding)
  })

  test('never show a key in a message', async () => {
    const error = await load(clients({ client_tls_key_file: pair.certificate })).catch(
      (reason: unknown) => reason,
    )
    expect(String(error)).not.toMatch(/BEGIN|PRIVATE/)
  })
})
