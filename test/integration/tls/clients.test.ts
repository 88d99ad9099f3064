import { X509Certificate } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { Client } from 'pg'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { CertificateAuthority, type CertificateFiles, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import { hasPsql, openTls, psql } from './tls-client.ts'

/** Every client_tls_sslmode against every way a client may come, with real drivers. */

type Mode = NonNullable<NonNullable<ConfigInput['pooler']>['client_tls_sslmode']>

describe.runIf(hasOpenssl())('TLS with clients', () => {
  const server = sharedPostgres()
  let folder: string
  let authority: CertificateAuthority
  let stranger: CertificateAuthority
  let own: CertificateFiles
  let pooler: TestPooler

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-client-tls-'))
    authority = await CertificateAuthority.create(folder)
    stranger = await CertificateAuthority.create(join(folder, 'stranger'), 'stranger')
    own = await authority.issue('pooler', { names: ['DNS:localhost', 'IP:127.0.0.1'] })
  })
  afterAll(() => rm(folder, { recursive: true }))
  afterEach(() => pooler?.stop())

  async function start(mode: Mode, extra: ConfigInput['pooler'] = {}): Promise<void> {
    const { host, port, user, password } = server
    pooler = await startPooler({
      server: { host, port, user, password },
      pooler: {
        client_tls_sslmode: mode,
        client_tls_key_file: own.key,
        client_tls_cert_file: own.certificate,
        ...(mode.startsWith('verify') ? { client_tls_ca_file: authority.certificate } : {}),
        ...extra,
      },
    })
  }

  const login = (): { user: string; database: string } => ({ user: server.user, database: server.database })
  const pem = async ({ key, certificate }: CertificateFiles) => ({
    key: await readFile(key),
    cert: await readFile(certificate),
  })

  describe.runIf(hasPsql())('libpq', () => {
    const parameters = (): Record<string, string | number> => ({
      host: 'localhost',
      hostaddr: pooler.host,
      port: pooler.port,
      user: server.user,
      dbname: server.database,
    })
    const works = '1'
    const refused = /server does not support SSL, but SSL was required/
    const demanded = /SSL required/

    // Columns: sslmode of the client.
    test.each<[Mode, string | RegExp, string | RegExp, string | RegExp]>([
      ['disable', works, works, refused],
      ['allow', works, works, works],
      ['prefer', works, works, works],
      ['require', demanded, works, works],
    ])('client_tls_sslmode %s: sslmode disable %s, prefer %s, verify-full %s', async (mode, ...expected) => {
      await start(mode)
      const root = { sslrootcert: authority.certificate }
      const results = [
        await psql({ ...parameters(), sslmode: 'disable' }, 'SELECT 1'),
        await psql({ ...parameters(), sslmode: 'prefer' }, 'SELECT 1'),
        await psql({ ...parameters(), ...root, sslmode: 'verify-full' }, 'SELECT 1'),
      ]
      for (const [index, wanted] of expected.entries()) {
        if (typeof wanted === 'string') expect(results[index]).toBe(wanted)
        else expect(results[index]).toMatch(wanted)
      }
    })

    test.each(['verify-ca', 'verify-full'] as const)(
      'client_tls_sslmode %s wants a certificate of client_tls_ca_file that has not expired',
      async (mode) => {
        await start(mode)
        const connect = ({ key, certificate }: CertificateFiles) =>
          psql({ ...parameters(), sslmode: 'require', sslkey: key, sslcert: certificate }, 'SELECT 1')
        expect(await connect(await authority.issue('client'))).toBe('1')
        const wanted = /FATAL: {2}connection requires a valid client certificate/
        expect(await connect(await authority.issue('late', { days: -1 }))).toMatch(wanted)
        expect(await connect(await stranger.issue('client'))).toMatch(wanted)
        expect(await psql({ ...parameters(), sslmode: 'require' }, 'SELECT 1')).toMatch(wanted)
        expect(await psql({ ...parameters(), sslmode: 'disable' }, 'SELECT 1')).toMatch(demanded)
      },
    )

    test('a client that verifies refuses a pooler with another name or authority', async () => {
      await start('require')
      const full = { ...parameters(), sslmode: 'verify-full' }
      expect(
        await psql({ ...full, host: 'elsewhere', sslrootcert: authority.certificate }, 'SELECT 1'),
      ).toMatch(/does not match host name "elsewhere"/)
      expect(await psql({ ...full, sslrootcert: stranger.certificate }, 'SELECT 1')).toMatch(
        /certificate verify failed/,
      )
    })
  })

  test('verify-ca takes a certificate that names nobody, as PostgreSQL does', async () => {
    await start('verify-ca')
    const client = await openTls(pooler, await pem(await authority.issue('')))
    await client.login(login())
    expect(await client.value('SELECT 1')).toBe('1')
    client.end()
  })

  test('under require an unknown certificate is not asked about', async () => {
    await start('require', { client_tls_ca_file: authority.certificate })
    const client = await openTls(pooler, await pem(await stranger.issue('postgres')))
    await client.login(login())
    expect(await client.value('SELECT 1')).toBe('1')
    client.end()
  })

  test.each([
    ['pg', false],
    ['pg', true],
  ] as const)('%s verifies the pooler and works (prepared: %s)', async (_name, named) => {
    await start('require')
    const ca = await readFile(authority.certificate)
    const { host, port } = pooler
    const client = new Client({ ...login(), host, port, password: 'x', ssl: { ca, servername: 'localhost' } })
    await client.connect()
    const query = { text: 'SELECT $1::int + 1 AS sum', values: [1], ...(named ? { name: 'sum' } : {}) }
    for (let turn = 0; turn < 3; turn += 1) expect((await client.query(query)).rows).toEqual([{ sum: 2 }])
    await client.end()
  })

  test('postgres verifies the pooler and works', async () => {
    await start('require')
    const ca = await readFile(authority.certificate)
    const { host, port } = pooler
    const sql = postgres({
      ...login(),
      host,
      port,
      password: 'x',
      max: 3,
      ssl: { ca, servername: 'localhost' },
    })
    const sums = await Promise.all([1, 2, 3, 4, 5].map((n) => sql`SELECT ${n}::int + 1 AS sum`))
    expect(sums.map(([row]) => row?.sum)).toEqual([2, 3, 4, 5, 6])
    await sql.end()
  })

  test('direct TLS works, and saves nothing else', async () => {
    await start('require')
    const client = await openTls(pooler, { direct: true, ca: await readFile(authority.certificate) })
    expect((client.stream.socket as TLSSocket).alpnProtocol).toBe('postgresql')
    await client.login(login())
    expect(await client.value('SELECT 1')).toBe('1')
    client.end()
  })

  test('GSSENCRequest is answered N, and SSLRequest after it S', async () => {
    await start('require')
    const client = await RawClient.open(pooler)
    client.send(f.gssencRequest())
    expect(await client.receiveByte()).toBe('N')
    client.send(f.sslRequest())
    expect(await client.receiveByte()).toBe('S')
    client.destroy()
  })

  test.each([
    ['tlsv1.2', 'TLSv1.2'],
    ['tlsv1.3', 'TLSv1.3'],
    ['secure', 'TLSv1.3'],
  ] as const)('client_tls_protocols %s speaks %s', async (setting, protocol) => {
    await start('require', { client_tls_protocols: setting })
    const client = await openTls(pooler)
    expect((client.stream.socket as TLSSocket).getProtocol()).toBe(protocol)
    await client.login(login())
    client.end()
    if (setting !== 'tlsv1.3') return
    await expect(openTls(pooler, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/alert.protocol.version/i)
  })

  test.each([
    ['TLSv1.2', { client_tls_ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }],
    ['TLSv1.3', { client_tls13_ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }],
  ] as const)('ciphers of %s are those of the settings', async (maxVersion, settings) => {
    const [cipher] = Object.values(settings)
    if (process.versions.bun !== undefined && maxVersion === 'TLSv1.3') {
      await expect(start('require', settings)).rejects.toThrow(/cannot be set under Bun/)
      return
    }
    await start('require', settings)
    const client = await openTls(pooler, { maxVersion })
    expect((client.stream.socket as TLSSocket).getCipher().name).toBe(cipher)
    client.destroy()
  })

  test('new connections use a certificate that was replaced on disk, after a reload; old ones live on', async () => {
    const files = { key: join(folder, 'live.key'), certificate: join(folder, 'live.crt') }
    const put = async (from: CertificateFiles): Promise<void> => {
      await copyFile(from.key, files.key)
      await copyFile(from.certificate, files.certificate)
    }
    const fingerprint = (client: RawClient): string =>
      (client.stream.socket as TLSSocket).getPeerCertificate().fingerprint256
    const fingerprintOf = async ({ certificate }: CertificateFiles): Promise<string> =>
      new X509Certificate(await readFile(certificate)).fingerprint256
    const next = await authority.issue('pooler', { names: ['DNS:localhost'] })
    await put(own)
    await start('require', { client_tls_key_file: files.key, client_tls_cert_file: files.certificate })
    const before = await openTls(pooler)
    await before.login(login())
    await put(next)
    expect(fingerprint(await openTls(pooler))).toBe(await fingerprintOf(own))
    await pooler.reload()
    expect(fingerprint(await openTls(pooler))).toBe(await fingerprintOf(next))
    expect(await before.value('SELECT 1')).toBe('1')
    before.end()
    await copyFile(own.certificate, files.certificate)
    await expect(pooler.reload()).rejects.toMatchObject({ sqlState: 'F0000' })
    expect(fingerprint(await openTls(pooler))).toBe(await fingerprintOf(next))
  })

  test('a CancelRequest may come in clear, as that of older libpq does, or encrypted', async () => {
    await start('require')
    const client = await openTls(pooler)
    await client.login(login())
    const cancelled = async (canceller: RawClient, name: string): Promise<void> => {
      client.send(f.query(`SELECT pg_sleep(30) AS ${name}`))
      // One that overtakes its query cancels nothing.
      await eventually(
        'the query to run',
        () =>
          sharedPostgres().query(
            `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%AS ${name}' AND state = 'active'`,
          ),
        (found) => found.length === 1,
      )
      if (client.key === undefined) throw new Error('no key')
      canceller.send(f.cancelRequest(client.key))
      await canceller.closed()
      canceller.destroy()
      expect((await client.receiveUntil('Z')).find(({ type }) => type === 'E')).toMatchObject({
        code: '57014',
      })
    }
    await cancelled(await RawClient.open(pooler), 'tls_clear')
    await cancelled(await openTls(pooler), 'tls_encrypted')
    client.end()
  })
})
