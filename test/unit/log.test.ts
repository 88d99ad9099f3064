import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, expect, test, vi } from 'vitest'
import { PoolerError, SqlState } from '../../src/errors.ts'
import { createLogger } from '../../src/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'pooler-log-'))
const descriptors: number[] = []
afterAll(() => {
  descriptors.forEach(closeSync)
  rmSync(folder, { recursive: true })
})

function logFile(): { fd: number; lines: () => Record<string, unknown>[] } {
  const path = join(folder, `${descriptors.length}.log`)
  const fd = openSync(path, 'a')
  descriptors.push(fd)
  return {
    fd,
    lines: () =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  }
}

test('flush writes everything that was logged before it, also while a write is under way', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  // More than the logger collects, so that the first write starts at once; the rest stays collected.
  for (let i = 0; i < 100; i++) log.info({ i, filler: 'x'.repeat(50) }, 'something happened')
  await flush()
  expect(lines().map(({ i }) => i)).toEqual(Array.from({ length: 100 }, (_, i) => i))
})

test('a single line appears without a flush', async () => {
  const { fd, lines } = logFile()
  createLogger({ level: 'info', fd }).log.info('started')
  await vi.waitFor(() => expect(lines()).toMatchObject([{ msg: 'started' }]), { timeout: 5000 })
})

test('lines below the level are not written', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'warn', fd })
  log.info('not important')
  log.warn('important')
  await flush()
  expect(lines().map(({ msg }) => msg)).toEqual(['important'])
})

test('secrets are redacted, also in children and up to two levels down', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  log.child({ component: 'x', password: 'hunter2' }).info({ user: 'ann' }, 'one')
  log.info({ password: 'hunter2', user: { password: 'hunter2' }, a: { b: { secret: 'hunter2' } } }, 'two')
  await flush()
  expect(lines()).toHaveLength(2)
  expect(JSON.stringify(lines())).not.toContain('hunter2')
  expect(lines()[1]).toMatchObject({ password: '[redacted]' })
})

test("an error's response bytes are left out", async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  const err = new PoolerError(SqlState.ConnectionFailure, 'gone', { response: Buffer.from('E....') })
  log.error({ err }, 'server left')
  await flush()
  expect(lines()[0]?.err).toMatchObject({ message: 'gone', sqlState: '08006' })
  expect(lines()[0]?.err).not.toHaveProperty('response')
})

async function run(program: string, stdout: number | 'pipe') {
  const log = new URL('../../src/log.ts', import.meta.url)
  const source = `import { createLogger } from '${log}'; ${program}`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', source], {
    stdio: ['ignore', stdout, 'pipe'],
  })
  const exited = once(child, 'exit')
  const output = child.stdout === null ? '' : text(child.stdout)
  const errors = child.stderr === null ? '' : text(child.stderr)
  const [code] = await exited
  return { code, output: await output, errors: await errors }
}

test('process.exit loses no line', async () => {
  const { code, output } = await run(
    `createLogger({ level: 'info' }).log.info('last words'); process.exit(3)`,
    'pipe',
  )
  expect(code).toBe(3)
  expect(JSON.parse(output)).toMatchObject({ msg: 'last words' })
})

test.runIf(process.platform === 'linux')(
  'a full disk is said once and does not end the process',
  async () => {
    const full = openSync('/dev/full', 'a')
    const { code, errors } = await run(
      `const { log, flush } = createLogger({ level: 'info' })
     log.info('one'); await flush(); log.info('two'); await flush(); process.exit(0)`,
      full,
    )
    closeSync(full)
    expect(code).toBe(0)
    expect(errors.match(/the log cannot be written/g)).toHaveLength(1)
  },
)
