import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Logger } from '../../../src/log.ts'
import { type Environment, Systemd } from '../../../src/process/systemd.ts'
import { eventually } from '../../support/eventually.ts'

/** What systemd is told: to a systemd-notify that writes it down, and by the real one to a real socket. */

let folder: string
let notes: string
let environment: Environment
const logged: object[] = []
const log = { error: (details: object) => logged.push(details) } as unknown as Logger

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-systemd-'))
  notes = join(folder, 'notes')
  await writeFile(notes, '')
  logged.length = 0
  environment = { PATH: `${folder}:${process.env.PATH}`, NOTIFY_SOCKET: '/nowhere/notify', NOTES: notes }
})
afterEach(() => rm(folder, { recursive: true }))

async function writeProgram(script: string): Promise<void> {
  const program = join(folder, 'systemd-notify')
  await writeFile(program, `#!/bin/sh\n${script}\n`)
  await chmod(program, 0o755)
}

const NOTES_IT = 'echo "$@" >> "$NOTES"'
const said = async () => (await readFile(notes, 'utf8')).trim().split('\n')
const from = `--pid=${process.pid}`

describe('with NOTIFY_SOCKET', () => {
  test('the life of the process is told in order, with its number', async () => {
    await writeProgram(`[ "$2" = RELOADING=1 ] && sleep 0.2; ${NOTES_IT}`)
    const systemd = new Systemd(log, environment)
    void systemd.ready('accepting clients on 127.0.0.1:6432')
    void systemd.reloading()
    void systemd.ready('accepting\nclients')
    void systemd.stopping('waiting for clients')
    await systemd.close()
    expect(await said()).toEqual([
      `${from} READY=1 STATUS=accepting clients on 127.0.0.1:6432`,
      expect.stringMatching(new RegExp(`^${from} RELOADING=1 MONOTONIC_USEC=[0-9]+ STATUS=reloading`)),
      `${from} READY=1 STATUS=accepting clients`,
      `${from} STOPPING=1 STATUS=waiting for clients`,
    ])
    expect(logged).toEqual([])
  })

  test('the watchdog gets pings once the process is ready, until the end', async () => {
    await writeProgram(NOTES_IT)
    const systemd = new Systemd(log, { ...environment, WATCHDOG_USEC: '40000' })
    await systemd.ready('')
    await eventually('three pings', said, (lines) => lines.length >= 4)
    await systemd.close()
    const lines = await said()
    expect(lines.shift()).toBe(`${from} READY=1 STATUS=`)
    expect(new Set(lines)).toEqual(new Set([`${from} WATCHDOG=1`]))
  })

  test('pings do not pile up behind one that hangs', async () => {
    await writeProgram(`[ "$2" = WATCHDOG=1 ] && sleep 0.3; ${NOTES_IT}`)
    const systemd = new Systemd(log, { ...environment, WATCHDOG_USEC: '4000' })
    await systemd.ready('')
    await eventually('a ping', said, (lines) => lines.length >= 2)
    await systemd.close()
    expect((await said()).length).toBeLessThan(5)
  })

  test.each([
    ['there is none', {}],
    ['it watches another process', { WATCHDOG_USEC: '2000', WATCHDOG_PID: '1' }],
    ['its time is no number', { WATCHDOG_USEC: 'soon' }],
  ])('there are no pings where %s', async (_what, settings) => {
    await writeProgram(NOTES_IT)
    const systemd = new Systemd(log, { ...environment, ...settings })
    await systemd.ready('')
    await systemd.stopping('')
    await systemd.close()
    expect(await said()).toHaveLength(2)
  })

  test('a systemd-notify that is missing is logged once, and nothing fails', async () => {
    const systemd = new Systemd(log, { ...environment, PATH: folder })
    await systemd.ready('')
    await systemd.stopping('')
    await systemd.close()
    expect(logged).toEqual([{ reason: expect.stringContaining('systemd-notify: not found') }])
  })

  test('a systemd-notify that fails is logged with what it said, and again after it worked', async () => {
    await writeProgram('[ "$2" = READY=1 ] && exit 0; echo "no such socket" >&2; exit 1')
    const systemd = new Systemd(log, environment)
    await systemd.stopping('')
    await systemd.stopping('')
    await systemd.ready('')
    await systemd.stopping('')
    await systemd.close()
    expect(logged).toEqual(Array(2).fill({ reason: 'no such socket' }))
  })
})

test('a signal to the whole group, as systemd sends it, leaves time for the last word', async () => {
  await writeProgram(`[ "$2" = READY=1 ] && kill -TERM $PPID; ${NOTES_IT}`)
  const systemd = new Systemd(log, environment)
  await systemd.ready('')
  await systemd.stopping('')
  await systemd.close()
  expect(await said()).toEqual([`${from} READY=1 STATUS=`, `${from} STOPPING=1 STATUS=`])
})

test('without NOTIFY_SOCKET nothing is run', async () => {
  await writeProgram(NOTES_IT)
  const systemd = new Systemd(log, { ...environment, NOTIFY_SOCKET: '', WATCHDOG_USEC: '2000' })
  await systemd.ready('')
  await systemd.close()
  expect(await said()).toEqual([''])
})

/** A service manager's end of the socket, which prints what arrives as JSON lines. */
const RECEIVER = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(json.dumps(receiver.recv(4096).decode()), flush=True)
`

function canReceive(): boolean {
  for (const program of ['python3', 'systemd-notify']) {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' })
    } catch {
      // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
      console.warn(`${program} is not installed here: the test with a real notify socket does not run`)
      return false
    }
  }
  return true
}

describe.runIf(canReceive())('the real systemd-notify', () => {
  let receiver: ChildProcess
  let received = ''

  afterEach(async () => {
    receiver.kill('SIGKILL')
    await once(receiver, 'close')
  })

  test('delivers the life of the process to a real socket', async () => {
    const socket = join(folder, 'notify')
    receiver = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    receiver.stdout?.on('data', (chunk: Buffer) => {
      received += chunk
    })
    await eventually(
      'the socket',
      () => received,
      (text) => text.startsWith('bound\n'),
    )
    const systemd = new Systemd(log, {
      PATH: process.env.PATH,
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: '60000',
    })
    await systemd.ready('accepting clients')
    await eventually(
      'a ping',
      () => received,
      (text) => text.includes('WATCHDOG=1'),
    )
    await systemd.reloading()
    await systemd.ready('accepting clients')
    await systemd.stopping('stopping')
    await systemd.close()
    const messages = received.trim().split('\n').slice(1)
    const lines = messages.map((line) => (JSON.parse(line) as string).split('\n'))
    const mainPid = `MAINPID=${process.pid}`
    expect(lines[0]).toEqual(expect.arrayContaining(['READY=1', mainPid, 'STATUS=accepting clients']))
    const told = lines.map((assignments) =>
      ['READY=1', 'RELOADING=1', 'STOPPING=1'].filter((word) => assignments.includes(word)),
    )
    expect(told.flat()).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
    expect(logged).toEqual([])
  })
})
