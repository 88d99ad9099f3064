import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ServerExchange } from '../../../src/auth/server-exchange.ts'
import type { ConfigInput } from '../../../src/config/config.ts'
import { CertificateAuthority, type CertificateFiles, hasOpenssl } from '../../support/certificates.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres, startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/**
 * Every way to log in, on both sides, under every TLS mode. What happened becomes the tables of the README
 * (`npm run matrix` writes them), and whoever changes what happens without them fails here.
 */

type Settings = NonNullable<ConfigInput['pooler']>

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
type Mode = (typeof MODES)[number]

const README = fileURLToPath(new URL('../../../README.md', import.meta.url))
const SECTION = /(<!-- logins:start -->\n)[\s\S]*?(<!-- logins:end -->)/
const USER = 'alice'
const PASSWORD = 'pencil'
const PLUS = 'SCRAM-SHA-256-PLUS'
const SCRAM_SECRET =
  'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:' +
  'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
const md5Secret = `md5${createHash('md5').update(`${PASSWORD}${USER}`).digest('hex')}`

const NONE = '–'

interface ClientWay {
  readonly name: string
  readonly auth: Settings['auth_type']
  readonly secret?: string
  /** What a client does who is not to be let in: the wrong password, somebody else's name; nothing with `any`. */
  readonly impostor?: { readonly user?: string; readonly password?: string }
  readonly refusal?: string
}

const wrong = { impostor: { password: 'pen' }, refusal: '28P01' }
const stranger = { impostor: { user: 'mallory' }, refusal: '28000' }
const CLIENT_WAYS: readonly ClientWay[] = [
  { name: '`any`', auth: 'any' },
  { name: '`trust`', auth: 'trust', ...stranger },
  { name: '`plain`', auth: 'plain', ...wrong },
  { name: '`md5`, md5 secret', auth: 'md5', secret: md5Secret, ...wrong },
  { name: '`md5`, SCRAM secret', auth: 'md5', secret: SCRAM_SECRET, ...wrong },
  { name: '`scram-sha-256`', auth: 'scram-sha-256', secret: SCRAM_SECRET, ...wrong },
  { name: `\`scram-sha-256\`, ${PLUS}`, auth: 'scram-sha-256', secret: SCRAM_SECRET, ...wrong },
  { name: '`cert`', auth: 'cert', ...stranger },
  { name: '`hba`', auth: 'hba', ...wrong },
]

/** Roles of PostgreSQL, each with its method in pg_hba.conf. */
const SERVER_WAYS = ['trust', 'password', 'md5', 'scram-sha-256', PLUS, 'cert'] as const
type ServerWay = (typeof SERVER_WAYS)[number]
const TAKES_PASSWORD: ReadonlySet<string> = new Set(['password', 'md5', 'scram-sha-256', PLUS])

interface Table {
  readonly title: string
  readonly rows: Map<string, Map<Mode, string>>
}

describe.runIf(hasOpenssl())('every way to log in', () => {
  const clients: Table = { title: 'auth_type', rows: new Map() }
  const servers: Table = { title: "PostgreSQL's method", rows: new Map() }
  let folder: string
  let authority: CertificateAuthority
  let own: CertificateFiles
  let certificate: CertificateFiles
  let secure: TestCluster
  let plain: TestCluster

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-logins-'))
    authority = await CertificateAuthority.create(folder)
    own = await authority.issue('localhost', { names: ['DNS:localhost', 'IP:127.0.0.1'] })
    certificate = await authority.issue(USER)
    await writeFile(join(folder, 'pg_hba.conf'), `host all ${USER} 127.0.0.1/32 scram-sha-256\n`)
    const hba = SERVER_WAYS.map((way) => {
      const method = way === PLUS ? 'scram-sha-256' : way
      return `host${way === 'cert' ? 'ssl' : ''} all ${roleOf(way)} 127.0.0.1/32 ${method}`
    }).join('\n')
    secure = await startPostgres({ settings: await authority.postgresSettings(own), hba })
    plain = await startPostgres({ hba: hba.replace(/^hostssl.*$/m, '') })
    for (const cluster of [secure, plain]) {
      for (const way of SERVER_WAYS) {
        const encryption = way === 'md5' ? 'md5' : 'scram-sha-256'
        await cluster.query(
          `SET password_encryption = '${encryption}'; CREATE ROLE ${roleOf(way)} LOGIN PASSWORD '${PASSWORD}'`,
        )
      }
    }
  })
  afterAll(async () => {
    await Promise.all([secure?.stop(), plain?.stop()])
    await rm(folder, { recursive: true })
  })

  describe.each(MODES)('with client_tls_sslmode %s', (mode) => {
    test.each(CLIENT_WAYS)('a client, $name', async (way) => {
      let cell = NONE
      try {
        const pooler = await startForClients(mode, way)
        try {
          cell = await clientCell(pooler, way)
        } finally {
          await pooler.stop()
        }
      } catch (error) {
        // The one combination that contradicts itself: certificates without TLS.
        expect(`${mode} ${way.auth} ${error}`).toMatch(
          /^disable cert .*auth_type cert needs client_tls_ca_file/,
        )
      }
      note(clients, way.name, mode, cell)
    })
  })

  describe.each(MODES)('with server_tls_sslmode %s', (mode) => {
    test.each(SERVER_WAYS)('the pooler at PostgreSQL, %s', async (way) => {
      const answers: string[] = []
      for (const cluster of [secure, plain]) {
        const pooler = await startForServers(mode, way, cluster)
        const exchanges = vi.spyOn(ServerExchange.prototype, 'onAuthentication')
        try {
          const answer = await answerOf(pooler, 'right')
          const steps = await Promise.all(exchanges.mock.results.map(({ value }) => value))
          const bound = steps.some((step) => step.kind === 'send' && step.message.includes(PLUS))
          answers.push(way === PLUS && !bound ? NONE : answer)
          if (TAKES_PASSWORD.has(way)) expect(await answerOf(pooler, 'wrong')).toBe(NONE)
        } finally {
          exchanges.mockRestore()
          await pooler.stop()
        }
      }
      note(servers, way === PLUS ? `\`scram-sha-256\`, ${PLUS}` : `\`${way}\``, mode, answers.join(' / '))
    })
  })

  test('is in the README as it turned out here', async () => {
    const section =
      '\nClients at the pooler, by `client_tls_sslmode`; each cell says how those who prove who they are get in:\n\n' +
      `${markdown(clients)}\n` +
      'The pooler at PostgreSQL, by `server_tls_sslmode`; each cell says how it gets in where PostgreSQL has TLS / ' +
      `where it has none:\n\n${markdown(servers)}\n`
    const text = await readFile(README, 'utf8')
    const current = text.replace(SECTION, (_all, start: string, end: string) => `${start}${section}${end}`)
    if (process.env.POOLER_WRITE_MATRIX !== undefined) await writeFile(README, current)
    else expect(text, 'out of date: run "npm run matrix" and commit README.md').toBe(current)
  })

  function startForClients(mode: Mode, { auth, secret = PASSWORD }: ClientWay): Promise<TestPooler> {
    const server = sharedPostgres()
    const { host, port, user, password } = server
    const tls: Settings = {
      client_tls_key_file: own.key,
      client_tls_cert_file: own.certificate,
      client_tls_ca_file: authority.certificate,
    }
    return startPooler({
      server,
      pooler: {
        auth_type: auth,
        auth_failure_delay: 0,
        client_tls_sslmode: mode,
        ...(mode === 'disable' ? {} : tls),
        ...(auth === 'hba' ? { auth_hba_file: join(folder, 'pg_hba.conf') } : {}),
      },
      databases: { '*': { host, port, user, password } },
      users: { [USER]: { password: secret } },
    })
  }

  /** How the client gets in, after it has been seen that an impostor does not, in the same ways. */
  async function clientCell(pooler: TestPooler, way: ClientWay): Promise<string> {
    const ways: string[] = []
    for (const encrypted of [false, true]) {
      if (!(await letsIn(pooler, encrypted, way))) continue
      ways.push(encrypted ? 'TLS' : 'plain')
      if (way.impostor === undefined) continue
      await expect(logIn(pooler, encrypted, way.impostor), way.name).rejects.toMatchObject({
        code: way.refusal,
      })
    }
    return ways.join(', ') || NONE
  }

  async function letsIn(pooler: TestPooler, encrypted: boolean, way: ClientWay): Promise<boolean> {
    try {
      const mechanism = await logIn(pooler, encrypted, {}, way.name.includes(PLUS))
      return !way.name.includes(PLUS) || mechanism === PLUS
    } catch {
      return false
    }
  }

  /** Logs in with the driver "pg", asks something, and returns the SASL mechanism, if there was one. */
  async function logIn(
    { host, port }: TestPooler,
    encrypted: boolean,
    who: { user?: string; password?: string },
    bind = false,
  ): Promise<string | undefined> {
    const ssl = {
      rejectUnauthorized: false,
      key: await readFile(certificate.key, 'utf8'),
      cert: await readFile(certificate.certificate, 'utf8'),
    }
    const login = { user: USER, password: PASSWORD, database: 'postgres', ...who, host, port }
    const client = new Client({ ...login, ssl: encrypted && ssl, enableChannelBinding: bind })
    client.on('error', () => {})
    const { connection } = client as unknown as { connection: SaslConnection }
    const send = vi.spyOn(connection, 'sendSASLInitialResponseMessage')
    try {
      await client.connect()
      await client.query('SELECT 1')
    } finally {
      await client.end()
    }
    return send.mock.calls[0]?.[0]
  }

  /** Two databases that force the role of this method: with the right password, and with a wrong one. */
  async function startForServers(mode: Mode, way: ServerWay, { port }: TestCluster): Promise<TestPooler> {
    const role = { host: 'localhost', port, dbname: 'postgres', user: roleOf(way) }
    const key = way === 'cert' ? await authority.issue(roleOf(way)) : undefined
    return startPooler({
      server: { host: 'localhost', port },
      pooler: {
        server_tls_sslmode: mode,
        server_tls_ca_file: authority.certificate,
        ...(key === undefined ? {} : { server_tls_key_file: key.key, server_tls_cert_file: key.certificate }),
        query_wait_timeout: 5,
      },
      databases: { right: { ...role, password: PASSWORD }, wrong: { ...role, password: 'pen' } },
    })
  }
})

/** The part of the driver's connection that says which mechanism it chose. */
interface SaslConnection {
  sendSASLInitialResponseMessage(mechanism: string, response: string): void
}

function roleOf(way: ServerWay): string {
  return `by_${way.toLowerCase().replaceAll('-', '_')}`
}

/** What PostgreSQL says about its connection with the pooler, or that there is none. */
async function answerOf({ host, port }: TestPooler, database: string): Promise<string> {
  try {
    const client = await RawClient.connect({ host, port, database })
    const encrypted = await client.value('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    client.end()
    return encrypted === 't' ? 'TLS' : 'plain'
  } catch {
    return NONE
  }
}

function note({ rows }: Table, name: string, mode: Mode, cell: string): void {
  const row = rows.get(name) ?? new Map<Mode, string>()
  rows.set(name, row.set(mode, cell))
}

function markdown({ title, rows }: Table): string {
  const head = [`| ${title} | ${MODES.join(' | ')} |`, `| --- |${' --- |'.repeat(MODES.length)}`]
  const body = [...rows].map(
    ([name, cells]) => `| ${name} | ${MODES.map((mode) => cells.get(mode)).join(' | ')} |`,
  )
  return `${[...head, ...body].join('\n')}\n`
}
