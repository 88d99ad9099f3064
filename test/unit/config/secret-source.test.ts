import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { authQueryProblems, authQuerySource } from '../../../src/config/auth-query-source.ts'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import { secretFileWarnings } from '../../../src/config/secret-file-warnings.ts'
import { resolveSecrets } from '../../../src/config/secret-source.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-secrets-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, content: string | Buffer, mode = 0o600): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  await chmod(path, mode)
  return path
}

function refusal(config: ConfigInput, environment = {}): Promise<string> {
  return resolveSecrets(buildConfig(config), environment).then(
    () => 'accepted',
    ({ sqlState, message }) => `${sqlState} ${message}`,
  )
}

describe('a password', () => {
  test('is read from a file without the newline at its end, and from the environment', async () => {
    const config = buildConfig({
      databases: {
        app: { user: 'owner', password_file: await file('owner', 'of the owner\n') },
        '*': { user: 'guest', password_env: 'GUEST' },
      },
      users: {
        alice: { password_file: await file('alice', ' sp ace \r\n') },
        bob: { password_env: 'BOB' },
        carol: { password: 'written' },
        dave: {},
      },
    })
    const resolved = await resolveSecrets(config, { BOB: 'of Bob', GUEST: 'of a guest' })
    expect(resolved.databases.get('app')?.password).toBe('of the owner')
    expect(resolved.fallbackDatabase?.password).toBe('of a guest')
    expect([...resolved.users].map(([name, { password }]) => [name, password])).toEqual([
      ['alice', ' sp ace '],
      ['bob', 'of Bob'],
      ['carol', 'written'],
      ['dave', undefined],
    ])
    expect(Object.isFrozen(resolved) && Object.isFrozen(resolved.users.get('alice'))).toBe(true)
  })

  test.each([
    ['of nothing', '', /secret: is empty|secret is empty/],
    ['of a newline alone', '\n', /secret is empty/],
    ['of two lines', 'topsecret\nmore\n', /more than one line/],
    ['with a NUL byte', 'topsecret\0', /not UTF-8 text/],
    ['in Latin-1', Buffer.from('p\u00e4ss', 'latin1'), /not UTF-8 text/],
    ['of 70 KiB', 'topsecret'.repeat(8000), /longer than 65536 bytes/],
  ])('is not read from a file %s, which is not quoted', async (_what, content, message) => {
    const text = await refusal({ users: { alice: { password_file: await file('secret', content) } } })
    expect(text).toMatch(/^F0000 users\.alice\.password_file: /)
    expect(text).toMatch(message)
    expect(text).not.toContain('topsecret')
  })

  test('that cannot be had is a problem, and all problems are told at once', async () => {
    const text = await refusal(
      {
        databases: { 'my.db': { user: 'a', password_file: join(folder, 'missing') } },
        users: { alice: { password_env: 'UNSET' }, bob: { password_env: 'EMPTY' } },
      },
      { EMPTY: '' },
    )
    expect(text.split('\n')).toEqual([
      expect.stringMatching(
        /^F0000 databases\."my\.db"\.password_file: cannot read .*missing: ENOENT; create/,
      ),
      'users.alice.password_env: the environment variable UNSET is not set; set it before the start',
      'users.bob.password_env: the environment variable EMPTY is empty; set it before the start',
    ])
  })

  test('is given once', async () => {
    expect(await refusal({ users: { alice: { password: 'topsecret', password_env: 'X' } } })).toBe(
      'F0000 users.alice: expected only one of password, password_file and password_env',
    )
  })

  test('of a database needs a forced user', async () => {
    expect(await refusal({ databases: { app: { password_env: 'X' } } }, { X: 'y' })).toMatch(
      /^F0000 databases\.app\.password_env: expected a user beside it/,
    )
  })
})

test('files with secrets that everybody may read are named, once each', async () => {
  const open = await file('open', 'x', 0o644)
  const config = buildConfig({
    pooler: { auth_file: await file('userlist', '', 0o604) },
    users: { a: { password_file: open }, b: { password_file: open }, c: { password: 'written' } },
  })
  const warnings = await secretFileWarnings(config, [await file('pooler.toml', '', 0o666)])
  expect(warnings).toEqual([
    expect.stringMatching(/^password_file .*open holds secrets .* \(mode 0644\); chmod 0600 it$/),
    expect.stringMatching(/^the configuration file .*pooler\.toml .*0666/),
    expect.stringMatching(/^auth_file .*userlist .*0604/),
  ])
})

test('files for the owner and the group, without secrets or missing cause no warning', async () => {
  const config = buildConfig({
    pooler: { auth_file: join(folder, 'missing') },
    users: { a: { password_file: await file('group', 'x', 0o640) }, b: {} },
  })
  expect(await secretFileWarnings(config, [await file('pooler.toml', '', 0o644)])).toEqual([])
})

describe('the source of secrets by auth_query', () => {
  test('is the section of the database before that of the pooler, each setting by itself', () => {
    const config = buildConfig({
      pooler: { auth_user: 'asker', auth_dbname: 'auth' },
      databases: {
        auth: { host: '10.0.0.1' },
        app: {},
        web: { auth_user: 'web_asker' },
        shop: { auth_dbname: 'shop', auth_query: 'SELECT f($1)' },
      },
    })
    const source = (name: string) => authQuerySource(config, name)
    expect(source('app')).toMatchObject({ user: 'asker', database: { name: 'auth', host: ['10.0.0.1'] } })
    expect(source('app')?.query).toContain('rolvaliduntil < now()')
    expect(source('app')?.key).toBe(source('unknown')?.key)
    expect(source('web')).toMatchObject({ user: 'web_asker', database: { name: 'auth' } })
    expect(source('web')?.key).not.toBe(source('app')?.key)
    expect(source('shop')).toMatchObject({ query: 'SELECT f($1)', database: { name: 'shop' } })
    expect(authQueryProblems(config)).toEqual([])
  })

  test('is the database itself without auth_dbname, and nothing for unknown databases', () => {
    const config = buildConfig({ pooler: { auth_user: 'asker' }, databases: { app: { dbname: 'real' } } })
    expect(authQuerySource(config, 'app')?.database).toMatchObject({ name: 'app', dbname: 'real' })
    expect(authQuerySource(config, 'unknown')).toBeUndefined()
  })

  test('is nothing without auth_user', () => {
    expect(authQuerySource(buildConfig({ databases: { app: {} } }), 'app')).toBeUndefined()
  })

  test('settings that would have no effect, and databases that do not exist, are named', () => {
    const config = buildConfig({
      pooler: { auth_dbname: 'nowhere' },
      databases: { app: { auth_query: 'SELECT f($1)', auth_dbname: 'app' } },
    })
    expect(authQueryProblems(config)).toEqual([
      expect.stringMatching(/^databases\.app\.auth_query: has no effect without an auth_user/),
      expect.stringMatching(/^databases\.app\.auth_dbname: has no effect/),
      expect.stringMatching(/^pooler\.auth_dbname: there is no \[databases\."nowhere"\]/),
      expect.stringMatching(/^pooler\.auth_dbname: has no effect/),
    ])
  })
})
