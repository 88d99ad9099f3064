import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import type { BoundListener, Connection } from '../../../src/net/transport.ts'
import { ConnectionRecorder } from '../../support/connection-recorder.ts'

/** What the transport of this runtime, whichever it is, promises about sockets that are not encrypted. */

const transport = createTransport(new FlushQueue())
const listeners: BoundListener[] = []
const open: ConnectionRecorder[] = []

afterEach(async () => {
  for (const recorder of open.splice(0)) recorder.connection.destroy()
  await Promise.all(listeners.splice(0).map((listener) => listener.close()))
})

const never = (): AbortSignal => new AbortController().signal

/** Who listens, and a promise of the first connection that is accepted. */
async function listening(host: string) {
  let resolve!: (recorder: ConnectionRecorder) => void
  const accepted = new Promise<ConnectionRecorder>((settle) => {
    resolve = settle
  })
  const listener = await transport.listen({ host, port: 0, backlog: 5 }, (connection) =>
    resolve(recorded(connection)),
  )
  listeners.push(listener)
  return { port: listener.port, accepted, listener }
}

function recorded(connection: Connection): ConnectionRecorder {
  const recorder = new ConnectionRecorder(connection)
  open.push(recorder)
  return recorder
}

async function pair() {
  const { port, accepted } = await listening('127.0.0.1')
  const near = recorded(await transport.connect({ host: '127.0.0.1', port }, never()))
  return { near, far: await accepted, port }
}

/** Both ends, of which the near one is a socket of the runtime, to do what no transport does. */
async function stranger(): Promise<{ socket: Socket; far: ConnectionRecorder }> {
  const { port, accepted } = await listening('127.0.0.1')
  const socket = connectSocket({ port, host: '127.0.0.1', allowHalfOpen: true })
  return { socket, far: await accepted }
}

describe('a connection', () => {
  test('knows both of its ends, and they know it by the same names', async () => {
    const { near, far, port } = await pair()
    expect(near.connection).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: port })
    expect(far.connection).toMatchObject({ localAddress: '127.0.0.1', localPort: port })
    expect(far.connection.remotePort).toBe(near.connection.localPort)
    expect(far.connection.descriptor).toBeGreaterThan(2)
  })

  test('carries bytes both ways', async () => {
    const { near, far } = await pair()
    expect(near.connection.write(Buffer.from('question'))).toBe(true)
    expect((await far.bytes(8)).toString()).toBe('question')
    far.connection.write(Buffer.from('answer'))
    expect((await near.bytes(6)).toString()).toBe('answer')
  })

  // Short and long ones take different ways to the kernel.
  test.each([50_000, 5_000])(
    'keeps what the kernel does not take of writes of %i bytes, in order and unchanged, and tells when it is gone',
    async (length) => {
      const { near, far } = await pair()
      near.connection.pause()
      const total = 16 * 1024 * 1024
      let kept: Buffer = Buffer.alloc(0)
      for (let sent = 0; sent < total; ) {
        const chunk = numbered(sent, length)
        sent += chunk.length
        // Who gets true may reuse the memory: it is spoilt at once.
        if (far.connection.write(chunk)) chunk.fill(0xff)
        else kept = chunk
      }
      expect(kept).not.toHaveLength(0)
      expect(far.connection.pendingBytes).toBeGreaterThan(1024 * 1024)
      expect(far.drains).toBe(0)
      expect(near.received).toHaveLength(0)
      const received: Buffer[] = []
      let count = 0
      const all = new Promise<void>((resolve) => {
        near.onData = (buffer, start, end) => {
          received.push(Buffer.from(buffer.subarray(start, end)))
          count += end - start
          if (count >= total) resolve()
        }
      })
      near.connection.resume()
      await all
      expect(Buffer.concat(received).equals(numbered(0, count))).toBe(true)
      near.connection.write(Buffer.from('done'))
      await far.bytes(4)
      expect(far.connection.pendingBytes).toBe(0)
      expect(far.drains).toBeGreaterThan(0)
    },
  )

  test('may be half closed: the other half still carries what is sent', async () => {
    const { near, far } = await pair()
    near.connection.write(Buffer.from('last words'))
    near.connection.end()
    await far.ended
    expect(far.received.toString()).toBe('last words')
    far.connection.write(Buffer.from('answer'))
    far.connection.end()
    await near.ended
    expect(near.received.toString()).toBe('answer')
    expect(await Promise.all([near.closed, far.closed])).toEqual([null, null])
    expect([near.closes, far.closes]).toEqual([1, 1])
  })

  test('that is ended sends first what is pending, and takes nothing more', async () => {
    const { near, far } = await pair()
    near.connection.pause()
    const chunk = Buffer.alloc(8 * 1024 * 1024, 'x')
    far.connection.write(chunk)
    far.connection.end()
    expect(far.connection.write(Buffer.from('too late'))).toBe(true)
    let count = 0
    near.onData = (_buffer, start, end) => {
      count += end - start
    }
    near.connection.resume()
    await near.ended
    expect(count).toBe(chunk.length)
  })

  test('that is paused keeps what came before the FIN of its peer', async () => {
    const { socket, far } = await stranger()
    far.connection.pause()
    socket.end('all that I had to say')
    await new Promise((resolve) => socket.once('finish', resolve))
    expect(far.received).toHaveLength(0)
    far.connection.resume()
    await far.ended
    expect(far.received.toString()).toBe('all that I had to say')
  })

  test('that is destroyed is closed once, not within the call, and its peer reads what was sent', async () => {
    const { near, far } = await pair()
    far.connection.write(Buffer.from('farewell'))
    far.connection.destroy()
    expect(far.closes).toBe(0)
    far.connection.destroy()
    far.connection.end()
    far.connection.pause()
    far.connection.resume()
    expect(far.connection.write(Buffer.from('nobody sends this'))).toBe(true)
    expect(far.connection.pendingBytes).toBe(0)
    expect(await far.closed).toBeNull()
    await near.ended
    expect(near.received.toString()).toBe('farewell')
    expect(far.closes).toBe(1)
  })

  test('that its peer resets while nobody reads it may be written to, and is closed once it is read at the latest', async () => {
    const { socket, far } = await stranger()
    far.connection.pause()
    socket.resetAndDestroy()
    for (let count = 0; count < 50 && far.closes === 0; count += 1) {
      far.connection.write(Buffer.from('is anybody there?'))
      await new Promise((resolve) => setImmediate(resolve))
    }
    far.connection.resume()
    await far.closed
    expect(far.closes).toBe(1)
  })

  test('that its peer resets is closed with ECONNRESET', async () => {
    const { socket, far } = await stranger()
    socket.resetAndDestroy()
    expect(await far.closed).toMatchObject({ code: 'ECONNRESET', message: 'read ECONNRESET' })
    expect(far.closes).toBe(1)
  })
})

describe('a listener', () => {
  test('on "*" takes connections of IPv4 and tells the port that it got', async () => {
    const { port, accepted } = await listening('*')
    recorded(await transport.connect({ host: '127.0.0.1', port }, never()))
    expect((await accepted).connection.remoteAddress).toMatch(/127\.0\.0\.1$/)
  })

  test('on a port in use is EADDRINUSE', async () => {
    const { port } = await listening('127.0.0.1')
    const again = transport.listen({ host: '127.0.0.1', port, backlog: 5 }, () => {})
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })

  test('that is closed takes nobody, and leaves open what is', async () => {
    const { port, accepted, listener } = await listening('127.0.0.1')
    const near = recorded(await transport.connect({ host: '127.0.0.1', port }, never()))
    const far = await accepted
    await listener.close()
    await expect(transport.connect({ host: '127.0.0.1', port }, never())).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    })
    near.connection.write(Buffer.from('still here'))
    expect((await far.bytes(10)).toString()).toBe('still here')
  })
})

describe('a connect', () => {
  test('to a port that nobody listens on is ECONNREFUSED, with the address', async () => {
    const { port, listener } = await listening('127.0.0.1')
    await listener.close()
    await expect(transport.connect({ host: '127.0.0.1', port }, never())).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      message: `connect ECONNREFUSED 127.0.0.1:${port}`,
    })
  })

  test('to a unix socket that is not there is ENOENT, with the path', async () => {
    await expect(transport.connect({ path: '/nonexistent/.s.PGSQL.1' }, never())).rejects.toMatchObject({
      code: 'ENOENT',
      message: 'connect ENOENT /nonexistent/.s.PGSQL.1',
    })
  })

  test('that was aborted before rejects with the reason', async () => {
    const reason = new Error('changed my mind')
    await expect(transport.connect({ host: '127.0.0.1', port: 1 }, AbortSignal.abort(reason))).rejects.toBe(
      reason,
    )
  })

  test('that is aborted on its way rejects with the reason, and leaves no connection', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const gone = new Promise<void>((resolve) => {
      server.once('connection', (socket) => {
        socket.on('error', () => {})
        socket.once('close', () => resolve()).resume()
      })
    })
    const controller = new AbortController()
    const connecting = transport.connect({ host: '127.0.0.1', port }, controller.signal)
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await expect(connecting).rejects.toBe(reason)
    const second = connectSocket(port, '127.0.0.1', () => second.end())
    await gone
    await new Promise((resolve) => server.close(resolve))
  })
})

/** `length` bytes of a sequence that repeats late enough to show a gap, from its `start` on. */
function numbered(start: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (start + i) % 251
  return bytes
}
