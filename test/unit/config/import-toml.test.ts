import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultConfig } from '../../../src/config/config.ts'
import { ConfigError } from '../../../src/config/config-error.ts'
import { importToml } from '../../../src/config/import-toml.ts'
import { loadIni } from '../../../src/config/load-ini.ts'
import { loadToml } from '../../../src/config/load-toml.ts'
import { utf8Text } from '../../support/utf8-text.ts'

let folder: string
let elsewhere: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-import-'))
  elsewhere = await mkdtemp(join(tmpdir(), 'pooler-import-to-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  await rm(elsewhere, { recursive: true })
})

/** The text of the pooler.toml, once it means what the .ini means, in whichever folder it is. */
async function roundTrip(ini: string): Promise<string> {
  const from = join(folder, 'pgbouncer.ini')
  const to = join(elsewhere, 'pooler.toml')
  await writeFile(from, ini)
  const toml = await importToml(from)
  await writeFile(to, toml)
  const { config } = await loadIni(from)
  // What holds where nothing is written is another matter in the other format.
  expect(await loadToml(to)).toEqual({ ...config, defaults: defaultConfig().defaults })
  return toml.replaceAll(folder, '/etc')
}

test('the written file means the same and says what was left out', async () => {
  const toml = await roundTrip(`[databases]
app = host=10.0.0.5 user=owner password='it''s "secret"' pool_size=5
* =
[users]
"my user" = pool_mode=session query_timeout=1.5
[pgbouncer]
pool_mode = transaction
unix_socket_mode = 0770
auth_file = /etc/pgbouncer/userlist.txt
server_lifetime = 0.25
server_round_robin = 1
pkt_buf = 4096
`)
  expect(
    toml.split('\n').slice(1).join('\n'),
  ).toBe(`# Passwords are here as they were there: chmod 0600 this file, or move them elsewhere with
# password_file or password_env.
#
# Left out:
# /etc/pgbouncer.ini:12: pkt_buf has no effect: buffers are sized by the pooler

[pooler]
pool_mode = "transaction"
unix_socket_mode = 0o770
auth_file = "/etc/pgbouncer/userlist.txt"
server_lifetime = 0.25
server_round_robin = true
listen_addr = ""   # PgBouncer's default; here it would be "127.0.0.1"
unix_socket_dir = "/tmp"   # PgBouncer's default; here it would be no unix socket
max_client_conn = 100   # PgBouncer's default; here it would be 1000
log_format = "pgbouncer"   # PgBouncer's default; here it would be "json"
shutdown_timeout = 0   # PgBouncer's default; here it would be "25s"

[databases.app]
host = "10.0.0.5"
user = "owner"
password = "it's \\"secret\\""
pool_size = 5

[databases."*"]
host = "/tmp"   # unix_socket_dir, as nothing is written

[users."my user"]
pool_mode = "session"
query_timeout = 1.5
`)
})

test('an empty file is PgBouncer with nothing written', async () => {
  expect(await roundTrip('')).not.toContain('Passwords')
})

test('relative paths lead to the same files', async () => {
  const toml = await roundTrip(
    '[pgbouncer]\nauth_file = userlist.txt\nunix_socket_dir = run\n[databases]\na =\n',
  )
  expect(toml).toContain(`auth_file = ${JSON.stringify(join(process.cwd(), 'userlist.txt'))}`)
})

test('what cannot be started is not imported', async () => {
  await expect(roundTrip('[pgbouncer]\ndisable_pqexec = 1\n')).rejects.toThrow(ConfigError)
})

test('whatever names, passwords and texts there are, they come through', async () => {
  // Text as a line of a file can have it; a zero byte is refused in both formats.
  const text = utf8Text.filter((value) => !/[\0\n]/.test(value) && !/^[ \t\v\f\r]|[ \t\v\f\r]$/.test(value))
  const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`
  const database = fc.record({
    password: text,
    timezone: text,
    dbname: text,
    seconds: fc.nat({ max: 100_000 }),
  })
  const all = fc.record({ databases: fc.dictionary(text, database), query: text, users: fc.array(text) })
  await fc.assert(
    fc.asyncProperty(all, async ({ databases, query, users }) => {
      const entries = Object.entries(databases).map(
        ([name, { password, timezone, dbname, seconds }]) =>
          `${quoted(name)} = host=x user=u password=${quoted(password)} timezone=${quoted(timezone)} ` +
          `dbname=${quoted(dbname)} server_lifetime=${seconds / 1000}`,
      )
      await roundTrip(
        `[databases]\n${entries.join('\n')}\n[pgbouncer]\nserver_reset_query = ${query}\n[users]\n` +
          users.map((name) => `${quoted(name)} = pool_size=2\n`).join(''),
      )
    }),
    {
      numRuns: 25,
      examples: [
        [
          {
            databases: { __proto__x: { password: '\x7f', timezone: '\u2028', dbname: '"', seconds: 5 } },
            query: '#',
            users: ['__proto__'],
          },
        ],
      ],
    },
  )
})
