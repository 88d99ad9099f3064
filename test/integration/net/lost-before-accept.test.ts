import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'

/** Connects, says something, resets the connection; whoever listens is busy meanwhile and accepts it afterwards. */
const STRANGER = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1', () => {
    socket.write('startup and query', () => {
      socket.resetAndDestroy()
      socket.on('close', () => process.exit())
    })
  })`

test('a connection that was reset before it was accepted has no address, so nothing it said is read', async () => {
  const transport = createTransport(new FlushQueue())
  const accepted: string[] = []
  const listener = await transport.listen({ host: '127.0.0.1', port: 0, backlog: 10 }, (connection) => {
    accepted.push(connection.remoteAddress)
    connection.destroy()
  })
  // The kernel completes the handshake; this process does not hear of it before spawnSync returns.
  spawnSync(process.execPath, ['-e', STRANGER, String(listener.port)])
  const second = connect(listener.port, '127.0.0.1')
  await new Promise((resolve) => second.on('close', resolve))
  expect(accepted).toEqual(['127.0.0.1'])
  await listener.close()
})
