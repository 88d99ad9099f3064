import { execFileSync } from 'node:child_process'
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { groupId } from '../../../src/net/group-id.ts'
import type { BoundListener, Connection } from '../../../src/net/transport.ts'

/** The file of a unix socket: who may use it, what it replaces, and that it goes with its listener. */

const NAME = '.s.PGSQL.6432'
const isRoot = process.getuid?.() === 0

let folder: string
let path: string
const transport = createTransport(new FlushQueue())
const listeners: BoundListener[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-socket-'))
  path = join(folder, NAME)
})
afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()))
  await rm(folder, { recursive: true })
})

async function listen(
  options: { mode?: number; groupId?: number; folder?: string } = {},
  onAccept: (connection: Connection) => void = (connection) => connection.destroy(),
): Promise<BoundListener> {
  const listener = await transport.listen(
    { folder, port: 6432, backlog: 16, mode: 0o777, ...options },
    onAccept,
  )
  listeners.push(listener)
  return listener
}

/** An onAccept, and what it got first. */
function firstConnection() {
  let resolve!: (connection: Connection) => void
  const connection = new Promise<Connection>((settle) => {
    resolve = settle
  })
  return { connection, resolve }
}

/** A socket whose process was killed before it could remove it. */
function leaveStaleSocket(): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  expect(() => execFileSync(process.execPath, ['-e', script])).toThrow()
}

/** Undefined where the connection is made, else the system's code. */
function knock(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(undefined))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
}

describe('a unix socket', () => {
  test('takes connections without an address until it is closed, and leaves nothing in its folder', async () => {
    const accepted = firstConnection()
    const listener = await listen({}, accepted.resolve)
    expect(await readdir(folder)).toEqual([NAME])
    expect(listener).toMatchObject({ host: folder, port: 6432 })
    expect(await knock()).toBeUndefined()
    const connection = await accepted.connection
    expect(connection.remoteAddress).toBe('')
    connection.destroy()
    await listener.close()
    expect(await readdir(folder)).toEqual([])
  })

  test.each([0o777, 0o770, 0o600, 0o000])(
    'has the mode %o that it is given, whatever the umask',
    async (mode) => {
      await listen({ mode })
      expect((await lstat(path)).mode & 0o7777).toBe(mode)
    },
  )

  test.runIf(isRoot)('has the group that it is given', async () => {
    await listen({ groupId: 12_345, mode: 0o770 })
    expect(await stat(path)).toMatchObject({ gid: 12_345, uid: 0 })
  })

  test('replaces one that nobody listens on', async () => {
    leaveStaleSocket()
    expect(await knock()).toBe('ECONNREFUSED')
    await listen()
    expect(await knock()).toBeUndefined()
  })

  test('does not replace one that somebody listens on', async () => {
    await listen()
    await expect(listen()).rejects.toThrow(
      `another program listens on the unix socket ${path}: choose another unix_socket_dir or listen_port, or stop that program`,
    )
    expect(await readdir(folder)).toEqual([NAME])
    expect(await knock()).toBeUndefined()
  })

  test('does not replace a file of another kind', async () => {
    await writeFile(path, 'precious')
    await expect(listen()).rejects.toThrow(
      `${path} is in the way of the unix socket, and is none itself: remove it`,
    )
    expect(await readdir(folder)).toEqual([NAME])
  })

  test('that was replaced by another one is not removed with its listener', async () => {
    const listener = await listen()
    await rm(path)
    await listen()
    await listener.close()
    expect(await knock()).toBeUndefined()
  })

  test('without its folder is an error that says so', async () => {
    await expect(listen({ folder: join(folder, 'missing') })).rejects.toThrow(
      `there is no folder ${join(folder, 'missing')}; create it, or choose another unix_socket_dir`,
    )
    await writeFile(join(folder, 'file'), '')
    await expect(listen({ folder: join(folder, 'file') })).rejects.toThrow('file is no folder')
  })

  test('in the longest path that the settings allow works', async () => {
    const bytes = 107 - Buffer.byteLength(`/${NAME}`)
    const long = join(folder, 'x'.repeat(bytes - Buffer.byteLength(`${folder}/`)))
    await mkdir(long)
    const accepted = firstConnection()
    await listen({ folder: long }, accepted.resolve)
    path = join(long, NAME)
    expect(Buffer.byteLength(path)).toBe(107)
    expect(await knock()).toBeUndefined()
    ;(await accepted.connection).destroy()
  })

  test.runIf(isRoot)(
    'of another mode keeps others out, and its folder is closed to them before',
    async () => {
      await chmod(folder, 0o755)
      await listen({ mode: 0o600 })
      const script = `
      process.setgid(65534); process.setuid(65534)
      require('node:net').connect(${JSON.stringify(path)}).on('error', (error) => console.log(error.code)).on('connect', () => { console.log('in'); process.exit() })`
      expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })).toBe('EACCES\n')
      await chown(path, 65_534, 65_534)
      expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })).toBe('in\n')
    },
  )
})

describe('a group', () => {
  let groups: string
  beforeEach(async () => {
    groups = join(folder, 'group')
    await writeFile(groups, 'root:x:0:\nstaff:x:50:ann,bob\nbroken\n\n')
  })

  test.each([
    ['staff', 50],
    ['root', 0],
    ['1234', 1234],
  ])('%s is number %d', async (name, number) => {
    expect(await groupId(name, groups)).toBe(number)
  })

  test.each(['nosuch', 'broken', 'ann', '4294967295'])('%s is an error', async (name) => {
    await expect(groupId(name, groups)).rejects.toThrow(/^unix_socket_group: there is no group /)
  })

  test('by name without the file is an error that says what else can be written', async () => {
    await expect(groupId('staff', join(folder, 'missing'))).rejects.toThrow('write the number of the group')
  })
})
