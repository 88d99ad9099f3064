import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../../src/embedded/free-port.ts'
import { eventually } from '../../support/eventually.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** The HTTP listener: what its paths answer, and what it does not let anybody do. */

let pooler: TestPooler

interface Answer {
  status: number
  body: string
  allow: string | undefined
}

/** Without a pool of connections that would outlive the test. */
function ask(path: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${pooler.http}${path}`, { method, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => {
        body += text
      })
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body, allow: response.headers.allow }),
      )
    })
    request.on('error', reject).end()
  })
}

const readiness = async (query = ''): Promise<string> => {
  const { status, body } = await ask(`/readyz${query}`)
  return `${status} ${body.trim()}`
}

async function start(settings: Record<string, unknown> = {}, downPort?: number): Promise<void> {
  const server = sharedPostgres()
  const { host, port, database: dbname } = server
  const down = downPort === undefined ? {} : { down: { host: '127.0.0.1', port: downPort, dbname } }
  pooler = await startPooler({
    server,
    pooler: { http_listen: '127.0.0.1:0', ...settings },
    databases: { one: { host, port, dbname }, two: { host, port, dbname }, ...down },
  })
}

afterEach(async () => {
  await pooler.stop()
})

describe('the listener', () => {
  beforeEach(() => start())

  test('says that the process serves', async () => {
    expect(await ask('/healthz')).toEqual({ status: 200, body: 'the process serves\n', allow: undefined })
  })

  test('answers HEAD without a body', async () => {
    expect(await ask('/healthz', 'HEAD')).toEqual({ status: 200, body: '', allow: undefined })
  })

  test('knows no other path', async () => {
    const { status, body } = await ask('/')
    expect(status).toBe(404)
    expect(body).toContain('there is nothing at this path')
  })

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    expect(await ask('/readyz', method)).toEqual({
      status: 405,
      body: 'only GET and HEAD are answered\n',
      allow: 'GET, HEAD',
    })
  })

  test('does not read a request whose header is too long', async () => {
    const { hostname, port } = new URL(pooler.http)
    const socket = connect(Number(port), hostname)
    socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`)
    const answer = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(String(data))),
    )
    expect(answer).toMatch(/^HTTP\/1\.1 431 /)
    socket.destroy()
  })

  test('ends connections that are open when the pooler stops', async () => {
    const { hostname, port } = new URL(pooler.http)
    const socket = connect(Number(port), hostname)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await new Promise((resolve) => socket.once('data', resolve))
    await pooler.stop()
    await closed
    await expect(ask('/healthz')).rejects.toThrow()
  })

  test('survives a reload, which says that another address needs a restart', async () => {
    const { kept } = await pooler.reload({ pooler: { http_listen: '127.0.0.1:1' } })
    expect(kept).toEqual(['pooler.http_listen'])
    expect((await ask('/healthz')).status).toBe(200)
  })
})

describe('/readyz', () => {
  test('is false while the pooler or one of its databases is paused, and says which', async () => {
    await start()
    expect(await readiness()).toBe('200 ready')
    await pooler.control.pause()
    expect(await readiness()).toBe('503 the pooler is paused')
    pooler.control.resume()
    expect(await readiness()).toBe('200 ready')
    await pooler.control.pause('one')
    expect(await readiness()).toBe('503 database one is paused')
    expect(await readiness('?database=one')).toBe('503 database one is paused')
    expect(await readiness('?database=two')).toBe('200 ready')
    pooler.control.resume('one')
    expect(await readiness()).toBe('200 ready')
  })

  test('is false while the pooler is suspended', async () => {
    await start()
    await pooler.control.suspend()
    expect(await readiness()).toBe('503 the pooler is suspended')
    pooler.control.resume()
    expect(await readiness()).toBe('200 ready')
  })

  test('a disabled database is ready for nobody, and no reason to turn clients of others away', async () => {
    await start()
    pooler.control.disable('one')
    expect(await readiness('?database=one')).toBe('503 database one is disabled')
    expect(await readiness()).toBe('200 ready')
  })

  test('is false for a database whose server does not answer, and true again when it does', async () => {
    const port = await freePort()
    await start({ server_login_retry: '100ms' }, port)
    expect(await readiness('?database=down')).toBe('200 ready')
    const connecting = RawClient.connect({ host: pooler.host, port: pooler.port, database: 'down' })
    await expect(connecting).rejects.toThrow('cannot be reached')
    expect(await readiness()).toMatch(/^503 no server of database down answers: .*ECONNREFUSED/)
    expect(await readiness('?database=two')).toBe('200 ready')
    const { host, port: goodPort, database: dbname } = sharedPostgres()
    await pooler.reload({ databases: { down: { host, port: goodPort, dbname } } })
    const client = await eventually(
      'the database to be there',
      () => RawClient.connect({ host: pooler.host, port: pooler.port, database: 'down' }).catch(() => null),
      (found) => found !== null,
    )
    expect(await readiness()).toBe('200 ready')
    client?.destroy()
  })

  test('is false while the last clients are waited for', async () => {
    await start()
    const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'one' })
    const ended = pooler.control.shutdown('wait_for_clients')
    expect(await readiness()).toBe('503 the pooler is shutting down')
    client.destroy()
    await ended
  })
})

test('a port that is in use is one sentence, and nothing is left listening', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  const listen_port = await freePort()
  await expect(start({ http_listen: `127.0.0.1:${port}`, listen_port })).rejects.toThrow(
    `port ${port} on 127.0.0.1 is in use by another program: choose another http_listen, or stop that program`,
  )
  await start({ listen_port })
  await new Promise((resolve) => other.close(resolve))
})
