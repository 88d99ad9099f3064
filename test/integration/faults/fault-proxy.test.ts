import { once } from 'node:events'
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { FaultProxy } from '../../support/fault-proxy.ts'

/** The tool of the fault tests, in front of a server that sends back what it gets. */

let echo: Server
let proxy: FaultProxy
/** The server's ends, in the order in which they were accepted. */
let served: Socket[]
const clients: Client[] = []

interface Client {
  socket: Socket
  text: string
  chunks: number
  error: string | undefined
  /** Settles with FIN from the other side, or when the socket is gone. */
  ended: Promise<void>
}

async function client(): Promise<Client> {
  const socket = connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true })
  const ended = new Promise<void>((resolve) => {
    socket.once('end', resolve)
    socket.once('close', () => resolve())
  })
  const one: Client = { socket, text: '', chunks: 0, error: undefined, ended }
  clients.push(one)
  socket.on('data', (chunk: Buffer) => {
    one.text += chunk.toString('latin1')
    one.chunks += 1
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    one.error = error.code
  })
  await once(socket, 'connect')
  return one
}

async function received(one: Client, text: string): Promise<void> {
  await eventually(
    `'${text}'`,
    () => one.text,
    (found) => found === text,
  )
}

beforeEach(async () => {
  served = []
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  proxy = await FaultProxy.start({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port })
})

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy()
  await proxy.stop()
  for (const socket of served) socket.destroy()
  await new Promise((resolve) => echo.close(resolve))
})

describe('a fault proxy', () => {
  test('passes bytes and FIN both ways, and counts', async () => {
    const a = await client()
    a.socket.end('hello')
    await a.ended
    expect(a.text).toBe('hello')
    expect([proxy.bytes('toServer'), proxy.bytes('toClient')]).toEqual([5, 5])
    await eventually(
      'the connection to be gone',
      () => proxy.open,
      (open) => open === 0,
    )
    expect(proxy.accepted).toBe(1)
  })

  test('refuses connections until it is healed, on the same port', async () => {
    const before = await client()
    proxy.refuse()
    await expect(client()).rejects.toThrow('ECONNREFUSED')
    before.socket.write('still here')
    await received(before, 'still here')
    await proxy.heal()
    const after = await client()
    after.socket.write('again')
    await received(after, 'again')
  })

  test('swallows new connections until it is healed', async () => {
    const before = await client()
    proxy.swallow()
    const swallowed = await client()
    swallowed.socket.write('anybody there?')
    before.socket.write('here')
    await received(before, 'here')
    expect(served).toHaveLength(1)
    await proxy.heal()
    await received(swallowed, 'anybody there?')
  })

  test('keeps a connection to nobody from succeeding', async () => {
    const port = (echo.address() as AddressInfo).port
    echo.close()
    const orphan = await FaultProxy.start({ host: '127.0.0.1', port })
    const socket = connect(orphan.port, orphan.host)
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNRESET')
    await orphan.stop()
  })

  test.each(['reset', 'close'] as const)('cuts open connections: %s', async (ending) => {
    const a = await client()
    a.socket.write('x')
    await received(a, 'x')
    proxy.cut(ending)
    await a.ended
    expect(a.error).toBe(ending === 'reset' ? 'ECONNRESET' : undefined)
    await eventually(
      "the server's end to hear of it",
      () => served[0]?.destroyed || served[0]?.readableEnded,
      (gone) => gone === true,
    )
    const next = await client()
    next.socket.write('y')
    await received(next, 'y')
  })

  test.each(['reset', 'close'] as const)(
    'cuts after so many bytes and no byte earlier: %s',
    async (ending) => {
      const a = await client()
      a.socket.write('12345')
      await received(a, '12345')
      proxy.cutAfter('toClient', 3, ending)
      a.socket.write('67890')
      await a.ended
      expect(a.text).toBe('12345678')
      expect(a.error).toBe(ending === 'reset' ? 'ECONNRESET' : undefined)
    },
  )

  test('cuts on the way to the server, too', async () => {
    const a = await client()
    proxy.cutAfter('toServer', 2, 'reset')
    a.socket.write('1')
    await received(a, '1')
    a.socket.write('23')
    await a.ended
    expect(proxy.bytes('toServer')).toBe(2)
  })

  test('trickles', async () => {
    const a = await client()
    proxy.trickle('toClient')
    a.socket.write('byte by byte')
    await received(a, 'byte by byte')
    expect(a.chunks).toBeGreaterThan(6)
  })

  test('delays', async () => {
    const a = await client()
    proxy.delay('toServer', 50)
    const since = performance.now()
    a.socket.write('later')
    await received(a, 'later')
    expect(performance.now() - since).toBeGreaterThan(45)
  })

  test('stalls one direction: what is sent piles up at its sender, and comes whole when healed', async () => {
    const a = await client()
    a.socket.write('.')
    await received(a, '.')
    proxy.stall('toServer')
    const bytes = Buffer.alloc(16 * 1024 * 1024, 'b')
    a.socket.write(bytes)
    await eventually(
      'the kernel to take no more',
      () => a.socket.writableLength,
      (length) => length > 0,
    )
    served[0]?.write('the other way is open')
    await received(a, '.the other way is open')
    expect(proxy.bytes('toServer')).toBe(1)
    await proxy.heal()
    await eventually(
      'all bytes to come back',
      () => a.text.length,
      (length) => length === bytes.length + '.the other way is open'.length,
    )
  })
})
