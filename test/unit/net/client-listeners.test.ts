import { lookup } from 'node:dns/promises'
import { connect, createServer } from 'node:net'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { buildConfig } from '../../../src/config/config.ts'
import { ClientListeners } from '../../../src/net/client-listeners.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { listenAddresses } from '../../../src/net/listen-addresses.ts'
import { NodeTransport } from '../../../src/net/node-transport.ts'

/** Where listen_addr lets clients in. */

const listeners = new ClientListeners(new NodeTransport(new FlushQueue()), pino({ level: 'silent' }))
afterEach(() => listeners.close())

function open(listen_addr: string): Promise<void> {
  const { pooler } = buildConfig({ pooler: { listen_addr, listen_port: 0 } })
  return listeners.open(pooler, (connection) => connection.destroy())
}

/** Why nobody answers there; undefined where somebody does. */
function refusal(host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: listeners.first?.port ?? 0 })
    socket.once('connect', () => resolve(undefined)).once('error', ({ message }) => resolve(message))
    socket.once('close', () => socket.destroy())
  })
}

test('a name lets in on all addresses it has', async () => {
  await open('localhost')
  const addresses = await lookup('localhost', { all: true })
  expect(addresses.length).toBeGreaterThan(0)
  for (const { address } of addresses) expect(await refusal(address)).toBeUndefined()
})

test('what several names have in common is listened on once', async () => {
  await open('localhost, 127.0.0.1, localhost')
  expect(await refusal('127.0.0.1')).toBeUndefined()
})

describe.skipIf(!(await hasIpv6()))('on a machine with IPv6', () => {
  test('"::" is for IPv6 alone, as with PostgreSQL and PgBouncer', async () => {
    await open('::')
    expect(await refusal('::1')).toBeUndefined()
    expect(await refusal('127.0.0.1')).toContain('ECONNREFUSED')
  })

  test('so it can stand beside "0.0.0.0", in either order', async () => {
    for (const both of ['0.0.0.0, ::', '::, 0.0.0.0']) {
      await open(both)
      for (const host of ['::1', '127.0.0.1']) expect(await refusal(host)).toBeUndefined()
      await listeners.close()
    }
  })

  test('"*" is for both', async () => {
    await open('*')
    for (const host of ['::1', '127.0.0.1']) expect(await refusal(host)).toBeUndefined()
  })
})

test('an address stands for itself, a name for each of its addresses once', async () => {
  for (const item of ['*', '127.0.0.1', '::1', 'fe80::1%lo'])
    expect(await listenAddresses(item)).toEqual([item])
  const addresses = await listenAddresses('localhost')
  expect(new Set(addresses).size).toBe(addresses.length)
})

test('an address that this machine has not, and a name that nobody has, are refused', async () => {
  await expect(open('192.0.2.1')).rejects.toThrow(/^cannot listen on 192\.0\.2\.1, port 0: .*EADDRNOTAVAIL/)
  await expect(open('no-such-name.invalid')).rejects.toThrow(
    /^cannot listen on no-such-name\.invalid, port 0: /,
  )
  expect(listeners.first).toBeUndefined()
})

/** True if there is a ::1 to listen on. */
function hasIpv6(): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen({ host: '::1', port: 0 }, () => server.close(() => resolve(true)))
  })
}
