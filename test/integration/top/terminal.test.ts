import { PassThrough } from 'node:stream'
import type { ReadStream, WriteStream } from 'node:tty'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runTop } from '../../../src/top/run-top.ts'
import { targetOfUrl } from '../../../src/top/top-target.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'

/** `pooler top` in a terminal: what it does to the terminal, and that it gives it back. */

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

let pooler: TestPooler

beforeAll(async () => {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { stats_users: 'watcher' },
    users: { watcher: {} },
  })
})

afterAll(() => pooler.stop())

class Terminal {
  readonly input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (raw: boolean) => {
      this.raw = raw
    },
  })
  readonly output = Object.assign(new PassThrough(), { isTTY: true, rows: 24, columns: 80 })
  raw = false
  text = ''

  constructor() {
    this.output.on('data', (chunk: Buffer) => {
      this.text += chunk
    })
  }

  run(): Promise<void> {
    const target = targetOfUrl(pooler.url('pgbouncer', 'watcher'), {})
    const { input, output } = this
    return runTop(target, false, input as unknown as ReadStream, output as unknown as WriteStream)
  }

  get frames(): number {
    return this.text.split('\x1b[H').length - 1
  }
}

describe('in a terminal', () => {
  test.each([
    ['q', 'q'],
    ['Ctrl-C', '\x03'],
  ])('%s ends it and gives the terminal back', async (_name, key) => {
    const terminal = new Terminal()
    const ended = terminal.run()
    await expect.poll(() => terminal.frames).toBeGreaterThan(0)
    expect(terminal.raw).toBe(true)
    expect(terminal.text.startsWith(ENTER)).toBe(true)
    terminal.input.write(key)
    await ended
    expect(terminal.text.endsWith(LEAVE)).toBe(true)
    expect(terminal.raw).toBe(false)
  })

  test('a smaller window is drawn again at once, within its size', async () => {
    const terminal = new Terminal()
    const ended = terminal.run()
    await expect.poll(() => terminal.frames).toBe(1)
    terminal.text = ''
    Object.assign(terminal.output, { rows: 3, columns: 30 })
    terminal.output.emit('resize')
    await expect.poll(() => terminal.frames).toBe(1)
    const lines = terminal.text
      .replace('\x1b[H', '')
      .replaceAll('\x1b[K', '')
      .replaceAll('\x1b[J', '')
      .split('\n')
    expect(lines).toHaveLength(3)
    expect(Math.max(...lines.map((line) => line.length))).toBe(30)
    terminal.input.write('q')
    await ended
  })

  test('the end of the pooler gives the terminal back, and says so', async () => {
    const terminal = new Terminal()
    const own = pooler
    pooler = await startPooler({
      server: sharedPostgres(),
      pooler: { stats_users: 'watcher' },
      users: { watcher: {} },
    })
    const ended = terminal.run()
    await expect.poll(() => terminal.frames).toBeGreaterThan(0)
    const rejection = expect(ended).rejects.toMatchObject({ name: 'PoolerError' })
    await pooler.stop()
    pooler = own
    await rejection
    expect(terminal.text.endsWith(LEAVE)).toBe(true)
    expect(terminal.raw).toBe(false)
  })
})
