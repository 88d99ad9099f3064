import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../../src/embedded/free-port.ts'
import { createPooler } from '../../../src/index.ts'
import { eventually } from '../../support/eventually.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'

/** The command as a service: its pidfile, its unix socket, and what systemd hears of it. */

let folder: string
const started: PoolerProcess[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-service-'))
})
afterEach(async () => {
  for (const pooler of started.splice(0)) await pooler.end('SIGKILL')
  await rm(folder, { recursive: true })
})

async function configure(settings: string, name = 'pooler.toml'): Promise<void> {
  const toml = `[pooler]\nlisten_port = ${await freePort()}\n${settings}\n[databases.app]\nhost = "127.0.0.1"\n`
  await writeFile(join(folder, name), toml)
}

function run(options: { file?: string; environment?: Record<string, string> } = {}): PoolerProcess {
  const { file = 'pooler.toml', environment = {} } = options
  const pooler = new PoolerProcess({ folder, parameters: [file], environment })
  started.push(pooler)
  return pooler
}

describe('a pidfile', () => {
  beforeEach(() => configure('pidfile = "pooler.pid"\nlisten_addr = ""\nunix_socket_dir = "."'))

  test('beside the configuration file is there while the pooler runs, as is its socket', async () => {
    const pooler = run()
    await pooler.logs('listening')
    expect(await readFile(join(folder, 'pooler.pid'), 'utf8')).toBe(`${pooler.pid}\n`)
    expect((await readdir(folder)).filter((name) => name.startsWith('.s.PGSQL.'))).toHaveLength(1)
    expect(await pooler.end('SIGTERM')).toBe(0)
    expect(await readdir(folder)).toEqual(['pooler.toml'])
  })

  test('keeps a second pooler from starting, which leaves the first one alone', async () => {
    const pooler = run()
    await pooler.logs('listening')
    const second = run()
    expect(await second.exitCode()).toBe(1)
    expect(second.errors).toBe(
      `pooler: pidfile: another pooler runs with this file (${join(folder, 'pooler.pid')}), as process ${pooler.pid}: ` +
        'stop it, or remove the file if that process is something else\n',
    )
    expect(await readFile(join(folder, 'pooler.pid'), 'utf8')).toBe(`${pooler.pid}\n`)
    expect(await pooler.end('SIGTERM')).toBe(0)
  })

  test('of a pooler that was killed does not keep the next one from starting, nor does its socket', async () => {
    const killed = run()
    await killed.logs('listening')
    await killed.end('SIGKILL')
    expect((await readdir(folder)).length).toBe(3)
    const next = run()
    await next.logs('listening')
    expect(await readFile(join(folder, 'pooler.pid'), 'utf8')).toBe(`${next.pid}\n`)
    expect(await next.end('SIGTERM')).toBe(0)
    expect(await readdir(folder)).toEqual(['pooler.toml'])
  })

  test('goes again where the start fails', async () => {
    await configure('pidfile = "pooler.pid"\nlisten_addr = ""\nunix_socket_dir = "missing"')
    const pooler = run()
    expect(await pooler.exitCode()).toBe(1)
    expect(pooler.errors).toContain(`there is no folder ${join(folder, 'missing')}`)
    expect(await readdir(folder)).toEqual(['pooler.toml'])
  })

  test('is refused by a pooler inside another program', () => {
    expect(() => createPooler({ pooler: { pidfile: '/run/pooler.pid' } })).toThrow(
      'configuration: pooler.pidfile: has no effect in a pooler inside another program',
    )
  })
})

test('systemd hears when the pooler is ready, reloads and stops', async () => {
  const program = join(folder, 'systemd-notify')
  const notes = join(folder, 'notes')
  await writeFile(notes, '')
  await writeFile(program, `#!/bin/sh\necho "$@" >> "${notes}"\n`)
  await chmod(program, 0o755)
  await configure('')
  const environment = { NOTIFY_SOCKET: '/nowhere/notify', PATH: `${folder}:${process.env.PATH}` }
  const pooler = run({ environment })
  const said = async () => (await readFile(notes, 'utf8')).trim().split('\n')
  await eventually('readiness', said, ([first]) => first !== '')
  pooler.signal('SIGHUP')
  await eventually('the end of the reload', said, (lines) => lines.length === 3)
  expect(await pooler.end('SIGTERM')).toBe(0)
  const ready = expect.stringMatching(
    new RegExp(`^--pid=${pooler.pid} READY=1 STATUS=accepting clients on 127.0.0.1, port \\d+$`),
  )
  expect(await said()).toEqual([
    ready,
    expect.stringContaining('RELOADING=1'),
    ready,
    `--pid=${pooler.pid} STOPPING=1 STATUS=SIGTERM: letting clients come to their end`,
  ])
})
