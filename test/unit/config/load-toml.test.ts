import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/config/config-error.ts'
import { loadToml } from '../../../src/config/load-toml.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-config-'))
})
afterAll(() => rm(folder, { recursive: true }))

let files = 0
async function fileWith(content: string | Buffer): Promise<string> {
  const path = join(folder, `${++files}.toml`)
  await writeFile(path, content)
  return path
}

/** The error's message without the file's name, which begins every line of it. */
async function messageOf(path: string): Promise<string> {
  const error: unknown = await loadToml(path).catch((caught: unknown) => caught)
  if (!(error instanceof ConfigError)) throw new Error('expected a ConfigError', { cause: error })
  for (const { file } of error.problems) expect(file).toBe(path)
  return error.message.replaceAll(`${path}: `, '')
}

describe('a file', () => {
  test('becomes a Config', async () => {
    const path = await fileWith(`
      [pooler]
      listen_port = 7000
      query_wait_timeout = "5min"
      server_lifetime = 0.5
      auth_file = "userlist.txt"
      [databases."*"]
      host = "db.example.org"
      [databases."my.db"]
      port = 5433
      [users.__proto__]
      password = "secret"
    `)
    const config = await loadToml(path)
    expect(config.pooler).toMatchObject({
      listen_port: 7000,
      query_wait_timeout: 300_000,
      server_lifetime: 500,
      auth_file: join(folder, 'userlist.txt'),
    })
    expect(config.fallbackDatabase?.host).toEqual(['db.example.org'])
    expect(config.databases.get('my.db')).toMatchObject({ port: 5433, dbname: 'my.db' })
    expect(config.users.get('__proto__')?.password).toBe('secret')
  })

  test('may begin with a byte order mark and end its lines as Windows does', async () => {
    const config = await loadToml(await fileWith('\ufeff[pooler]\r\nlisten_port = 7000\r\n'))
    expect(config.pooler.listen_port).toBe(7000)
  })

  test('may be empty', async () => {
    expect((await loadToml(await fileWith(''))).pooler.listen_port).toBe(6432)
  })

  test('with several problems has them all reported, in its order', async () => {
    const path = await fileWith(`
      [databases.app]
      port = 70000
      pool_size = "many"
      [pooler]
      listen_port = 99999999999999999
      log_levl = "info"
      [users.ann]
      password = 5
    `)
    expect((await messageOf(path)).split('\n')).toEqual([
      'databases.app.port: expected an integer from 1 to 65535, got 70000',
      'databases.app.pool_size: expected an integer of at least 1, or 0 (unlimited), or "auto", got "many"',
      'pooler.listen_port: expected an integer from 1 to 65535, or 0 (any free port), got 99999999999999999',
      'pooler.log_levl: unknown setting; did you mean "log_level"?',
      'users.ann.password: expected a string that is not empty, without zero bytes',
    ])
  })
})

describe('a file that is not TOML', () => {
  test.each([
    ['[pooler]\npool_mode = transaction', 'line 2, column 13'],
    ['[pooler\n', 'line 1, column 8'],
    ['[pooler]\nlog_level = "info', 'line 2, column 18'],
  ])('%j has the place of the error named', async (text, place) => {
    expect(await messageOf(await fileWith(text))).toBe(
      `${place}: not valid TOML; a section is [pooler], a setting is key = value, and strings need quotes`,
    )
  })

  test('because a key is there twice has the key named', async () => {
    expect(await messageOf(await fileWith('[pooler]\nlisten_port = 1\nlisten_port = 2\n'))).toBe(
      "line 3, column 1: Cannot redefine existing key 'pooler.listen_port'; " +
        'write each key and each section once',
    )
  })

  test.each([
    'password = hunter2',
    'password = "hunter2',
    'password = "hunter2" hunter2',
    'password = "hunter2\\q"',
    'password = 22222222222222222222222222',
    'password = "hunter2"\npassword = "hunter2"',
  ])('does not have its passwords repeated: %s', async (line) => {
    const message = await messageOf(await fileWith(`[users.ann]\n${line}\n`))
    expect(message).toMatch(/^line \d, column \d+: /)
    expect(message).not.toMatch(/hunter|222/)
  })
})

describe('a file that cannot be read', () => {
  test('because there is none', async () => {
    expect(await messageOf(join(folder, 'none.toml'))).toBe('no such configuration file; check the path')
  })

  test('because it is a directory', async () => {
    expect(await messageOf(folder)).toBe('expected a configuration file, found a directory')
  })

  test('because its path leads through a file', async () => {
    expect(await messageOf(join(await fileWith(''), 'x.toml'))).toBe(
      'the configuration file cannot be read (ENOTDIR); check the path',
    )
  })

  test('because of its permissions', async () => {
    const path = await fileWith('')
    await chmod(path, 0)
    // root may read everything, so it must be somebody else for a moment.
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65534)
    try {
      expect(await messageOf(path)).toBe(
        'this user may not read the configuration file; check its permissions and those of its folder',
      )
    } finally {
      if (isRoot) process.seteuid?.(0)
    }
  })

  test('because it is not UTF-8', async () => {
    const latin1 = Buffer.from('[pooler]\n# gr\u00fc\u00dfe\nlisten_port = 1\n', 'latin1')
    expect(await messageOf(await fileWith(latin1))).toBe(
      'line 2: expected text in UTF-8; save the file in that encoding',
    )
  })
})
