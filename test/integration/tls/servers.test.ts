import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { CertificateAuthority, type CertificateFiles, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres, startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** Every server_tls_sslmode against PostgreSQL with and without TLS, and with certificates of every kind. */

type Settings = NonNullable<ConfigInput['pooler']>

const TLS_OF_SESSION = `SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()`

describe.runIf(hasOpenssl())('TLS with servers', () => {
  const plain = sharedPostgres()
  let folder: string
  let authority: CertificateAuthority
  let stranger: CertificateAuthority
  let client: CertificateFiles
  let secure: TestCluster
  let pooler: TestPooler | undefined

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-server-tls-'))
    authority = await CertificateAuthority.create(folder)
    stranger = await CertificateAuthority.create(join(folder, 'stranger'), 'stranger')
    client = await authority.issue('postgres')
    const own = await authority.issue('server', { names: ['DNS:localhost'] })
    secure = await startPostgres({
      settings: await authority.postgresSettings(own),
      hba: [
        'hostssl certified all 127.0.0.1/32 cert',
        'hostssl all all 127.0.0.1/32 scram-sha-256',
        'hostnossl all all 127.0.0.1/32 trust',
      ].join('\n'),
    })
    await secure.query('CREATE DATABASE certified')
  })
  afterAll(async () => {
    await secure?.stop()
    await rm(folder, { recursive: true })
  })
  afterEach(() => pooler?.stop())

  /** Logs in through a new pooler to `server` and returns what `sql` returns, or the message of the refusal. */
  async function ask(
    server: { host: string; port: number },
    settings: Settings,
    database = 'postgres',
    databases: ConfigInput['databases'] = {},
  ): Promise<string | null> {
    pooler = await startPooler({
      server: { host: server.host, port: server.port, user: 'postgres', password: 'postgres' },
      pooler: { server_login_retry: 0, query_wait_timeout: 5, ...settings },
      databases,
    })
    try {
      const raw = await RawClient.connect({ ...pooler, user: 'postgres', database })
      const value = await raw.value(TLS_OF_SESSION)
      raw.end()
      return value
    } catch (error) {
      return (error as Error).message
    } finally {
      await pooler.stop()
      pooler = undefined
    }
  }

  const named = (): { host: string; port: number } => ({ host: 'localhost', port: secure.port })
  const verified = (mode: 'verify-ca' | 'verify-full'): Settings => ({
    server_tls_sslmode: mode,
    server_tls_ca_file: authority.certificate,
  })

  test.each<[Settings['server_tls_sslmode'], string | RegExp, string]>([
    ['disable', 'none', 'none'],
    ['allow', 'none', 'TLSv1.3'],
    ['prefer', 'none', 'TLSv1.3'],
    ['require', /server does not support SSL, but SSL was required/, 'TLSv1.3'],
  ])('server_tls_sslmode %s: without TLS %s, with it %s', async (mode, without, withIt) => {
    const settings = { server_tls_sslmode: mode }
    expect(await ask(plain, settings)).toMatch(without)
    expect(await ask(secure, settings)).toBe(withIt)
  })

  test('prefer is the default', async () => {
    expect(await ask(secure, {})).toBe('TLSv1.3')
  })

  test('verify-ca and verify-full accept a certificate of the authority, and no server without TLS', async () => {
    for (const mode of ['verify-ca', 'verify-full'] as const) {
      expect(await ask(named(), verified(mode))).toBe('TLSv1.3')
      expect(await ask(plain, verified(mode))).toMatch(/server does not support SSL, but SSL was required/)
    }
  })

  test('another host name is refused by verify-full, and by no other mode', async () => {
    // The certificate is for localhost, and 127.0.0.1 is another name for that.
    expect(await ask(secure, verified('verify-ca'))).toBe('TLSv1.3')
    expect(await ask(secure, verified('verify-full'))).toMatch(/TLS handshake failed: .*IP: 127\.0\.0\.1/)
  })

  test('an unknown authority is refused by verify-ca and verify-full, and not asked about by require', async () => {
    const settings = { server_tls_ca_file: stranger.certificate }
    for (const mode of ['verify-ca', 'verify-full'] as const) {
      expect(await ask(named(), { ...settings, server_tls_sslmode: mode })).toMatch(
        /TLS handshake failed: self.signed certificate in certificate chain/,
      )
    }
    expect(await ask(named(), { ...settings, server_tls_sslmode: 'require' })).toBe('TLSv1.3')
  })

  test('an expired certificate is refused by verify-ca; prefer does not fall back to plain text', async () => {
    const late = await authority.issue('late', { names: ['DNS:localhost'], days: -1 })
    const cluster = await startPostgres({ settings: await authority.postgresSettings(late) })
    try {
      const server = { host: 'localhost', port: cluster.port }
      expect(await ask(server, verified('verify-ca'))).toMatch(
        /TLS handshake failed: certificate has expired/,
      )
      expect(await ask(server, { server_tls_sslmode: 'prefer' })).toBe('TLSv1.3')
      // No version in common: the handshake fails, and this server would have let us in without.
      await cluster.query(`ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'`)
      await cluster.query('SELECT pg_reload_conf()')
      await eventually(
        'the new version',
        () => cluster.query('SHOW ssl_max_protocol_version'),
        ([row]) => row?.ssl_max_protocol_version === 'TLSv1.2',
      )
      expect(await ask(server, { server_tls_sslmode: 'prefer', server_tls_protocols: 'tlsv1.3' })).toMatch(
        /TLS handshake failed: .*protocol version/,
      )
    } finally {
      await cluster.stop()
    }
  })

  test('a client certificate logs in where pg_hba.conf says cert', async () => {
    const files = { server_tls_key_file: client.key, server_tls_cert_file: client.certificate }
    expect(await ask(secure, { ...files, server_tls_sslmode: 'require' }, 'certified')).toBe('TLSv1.3')
    expect(await ask(secure, { server_tls_sslmode: 'require' }, 'certified')).toMatch(
      /connection requires a valid client certificate/,
    )
  })

  test('direct TLS works with PostgreSQL that has it', async () => {
    const direct = { server_tls_sslnegotiation: 'direct' } as const
    const [version] = await secure.query('SHOW server_version_num')
    if (Number(version?.server_version_num) < 170_000) {
      expect(await ask(named(), { ...verified('verify-full'), ...direct })).toMatch(/TLS handshake failed/)
    } else {
      expect(await ask(named(), { ...verified('verify-full'), ...direct })).toBe('TLSv1.3')
    }
    expect(await ask(plain, { server_tls_sslmode: 'require', ...direct })).toMatch(/TLS handshake/)
  })

  test('protocols and ciphers are those of the settings, and a database may have its own', async () => {
    const { host, port } = secure
    const settings: Settings = { server_tls_sslmode: 'require', server_tls_protocols: 'tlsv1.2' }
    expect(await ask(secure, settings)).toBe('TLSv1.2')
    const own = { host, port, dbname: 'postgres' }
    const databases = {
      newer: { ...own, server_tls_protocols: 'tlsv1.3' },
      never: { ...own, server_tls_sslmode: 'disable' as const },
      strict: { ...own, host: 'localhost', ...verified('verify-full') },
    }
    expect(await ask(secure, settings, 'newer', databases)).toBe('TLSv1.3')
    expect(await ask(secure, settings, 'never', databases)).toBe('none')
    expect(await ask(secure, settings, 'strict', databases)).toBe('TLSv1.2')
  })

  test('a unix socket never uses TLS', async () => {
    const databases = { unix: { host: secure.socketFolder, port: secure.port, dbname: 'postgres' } }
    expect(await ask(secure, verified('verify-full'), 'unix', databases)).toBe('none')
  })

  test('a cancel goes over TLS and ends the query', async () => {
    pooler = await startPooler({
      server: { ...named(), user: 'postgres', password: 'postgres' },
      pooler: verified('verify-full'),
    })
    const raw = await RawClient.connect({ ...pooler, user: 'postgres', database: 'postgres' })
    raw.send(f.query('SELECT pg_sleep(30)'))
    await eventually(
      'the query to run',
      () => secure.query(`SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'`),
      (rows) => rows.length > 0,
    )
    await raw.cancel()
    expect((await raw.receiveUntil('Z')).find(({ type }) => type === 'E')).toMatchObject({ code: '57014' })
    raw.end()
  })
})
