import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { isMessage } from '../../support/backend-message.ts'
import { CertificateAuthority, type CertificateFiles, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import { openSocket, openTls } from './tls-client.ts'

/** Peers that lie, inject plain text, or never finish a handshake. */

describe.runIf(hasOpenssl())('somebody in between', () => {
  const server = sharedPostgres()
  let folder: string
  let own: CertificateFiles
  let pooler: TestPooler
  let impostor: Server | undefined

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-hostile-tls-'))
    own = await (await CertificateAuthority.create(folder)).issue('pooler', { names: ['DNS:localhost'] })
  })
  afterAll(() => rm(folder, { recursive: true }))
  afterEach(async () => {
    await pooler?.stop()
    await new Promise<void>((resolve) =>
      impostor === undefined ? resolve() : impostor.close(() => resolve()),
    )
    impostor = undefined
  })

  async function start(
    settings: ConfigInput['pooler'] = {},
    address: { host: string; port: number } = server,
  ): Promise<void> {
    pooler = await startPooler({
      server: { host: address.host, port: address.port, user: server.user, password: server.password },
      pooler: {
        client_tls_sslmode: 'allow',
        client_tls_key_file: own.key,
        client_tls_cert_file: own.certificate,
        query_wait_timeout: 5,
        ...settings,
      },
    })
  }

  /** A server whose first answer is `script`'s. */
  async function impersonate(
    script: (socket: Socket, first: Buffer) => void,
  ): Promise<{ host: string; port: number }> {
    const listening = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (first: Buffer) => script(socket, first))
    })
    impostor = listening
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
    return { host: '127.0.0.1', port: (listening.address() as AddressInfo).port }
  }

  const login = (): { user: string; database: string } => ({ user: server.user, database: server.database })

  async function refusal(
    settings: ConfigInput['pooler'],
    address: { host: string; port: number },
  ): Promise<string> {
    await start(settings, address)
    return await RawClient.connect({ ...pooler, ...login() }).then(
      () => 'logged in',
      (error: Error) => error.message,
    )
  }

  describe('before clients', () => {
    test('plain text behind SSLRequest, in the same segment, ends the connection without S', async () => {
      await start()
      const client = await RawClient.open(pooler)
      client.send(f.sslRequest(), f.startup(login()))
      const [error] = await client.receiveRest()
      expect(error).toMatchObject({
        type: 'E',
        code: '08P01',
        text: 'received unencrypted data after SSL request',
      })
    })

    test('plain text behind S ends the connection without another byte in clear', async () => {
      await start()
      const client = await RawClient.open(pooler)
      client.send(f.sslRequest())
      expect(await client.receiveByte()).toBe('S')
      client.send(f.startup(login()), f.query('SELECT 1'))
      const rest = await eventually(
        'the end of the connection',
        () => client.stream,
        (stream) => stream.ended,
      )
      // At most an alert of TLS, whose records begin with 0x15; never an answer to the startup packet.
      const bytes = rest.unread === 0 ? undefined : await rest.readBytes(1, 'an alert')
      expect(bytes?.[0] ?? 0x15).toBe(0x15)
    })

    test('direct TLS without ALPN, or with another name, is refused', async () => {
      await start()
      const client = await openTls(pooler, { direct: true, ALPNProtocols: [] })
      const [error] = await client.receiveRest()
      expect(error).toMatchObject({
        type: 'E',
        code: '08P01',
        text: expect.stringContaining('without ALPN'),
      })
      await expect(openTls(pooler, { direct: true, ALPNProtocols: ['http/1.1'] })).rejects.toThrow(
        /no.application.protocol/i,
      )
    })

    test('after SSLRequest ALPN may be missing, as with every libpq before 17', async () => {
      await start()
      const client = await openTls(pooler, { ALPNProtocols: [] })
      await client.login(login())
      expect(await client.value('SELECT 1')).toBe('1')
      client.end()
    })

    test('direct TLS where TLS is not offered closes the connection', async () => {
      await start({ client_tls_sslmode: 'disable' })
      await expect(openTls(pooler, { direct: true })).rejects.toThrow()
    })

    test.each([
      ['SSLRequest', f.sslRequest],
      ['GSSENCRequest', f.gssencRequest],
    ] as const)('%s inside TLS ends the connection', async (_name, request) => {
      await start()
      const client = await openTls(pooler)
      client.send(request())
      const [error] = await client.receiveRest()
      expect(error).toMatchObject({ type: 'E', code: '08P01' })
    })

    test.each([
      ['nothing', Buffer.alloc(0)],
      ['half a record', Buffer.from('16030100f8010000f40303', 'hex')],
    ])('a handshake that stops after %s ends at client_login_timeout', async (_what, bytes) => {
      await start({ client_login_timeout: '500ms' })
      for (const direct of bytes.length > 0 ? [false, true] : [false]) {
        const client = await RawClient.open(pooler)
        if (!direct) {
          client.send(f.sslRequest())
          expect(await client.receiveByte()).toBe('S')
        }
        const begin = Date.now()
        if (bytes.length > 0) client.send(bytes)
        await client.closed()
        expect(Date.now() - begin).toBeLessThan(2000)
        client.destroy()
      }
      await eventually(
        'no client',
        () => pooler.stats.clients,
        (clients) => clients === 0,
      )
    })

    test('a client that is gone in the middle of the handshake leaves nothing behind', async () => {
      await start()
      for (const leave of ['destroy', 'reset', 'end'] as const) {
        const client = await RawClient.open(pooler)
        client.send(f.sslRequest())
        expect(await client.receiveByte()).toBe('S')
        client.send(Buffer.from('16030100f8010000f40303', 'hex'))
        client[leave]()
      }
      await eventually(
        'no client',
        () => pooler.stats.clients,
        (clients) => clients === 0,
      )
    })

    test('direct TLS may come in pieces, the first of one byte', async () => {
      await start()
      const front = createServer({ allowHalfOpen: true }, (down) => {
        void openSocket(pooler).then((up) => {
          up.setNoDelay(true)
          up.pipe(down)
          let first = true
          down.on('data', (chunk: Buffer) => {
            if (first) up.write(chunk.subarray(0, 1), () => setImmediate(() => up.write(chunk.subarray(1))))
            else up.write(chunk)
            first = false
          })
          down.on('close', () => up.destroy())
        })
      })
      impostor = front
      await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
      const address = { host: '127.0.0.1', port: (front.address() as AddressInfo).port }
      const client = await openTls(address, { direct: true })
      await client.login(login())
      expect(await client.value('SELECT 1')).toBe('1')
      client.destroy()
    })
  })

  describe('before servers', () => {
    test('plain text behind S is refused, and the startup packet is not sent', async () => {
      const received: Buffer[] = []
      const address = await impersonate((socket) => {
        socket.on('data', (bytes: Buffer) => received.push(bytes))
        socket.write(Buffer.concat([Buffer.from('S'), Buffer.from('R\0\0\0\x08\0\0\0\0')]))
      })
      expect(await refusal({ server_tls_sslmode: 'require' }, address)).toMatch(
        /received unencrypted data after SSL response/,
      )
      expect(Buffer.concat(received)).toHaveLength(0)
    })

    test('plain text behind N is refused', async () => {
      const address = await impersonate((socket) => socket.write('NR'))
      expect(await refusal({}, address)).toMatch(/received unencrypted data after SSL response/)
    })

    test('an ErrorResponse instead of S or N is not passed on', async () => {
      const address = await impersonate((socket) => socket.write('E'))
      expect(await refusal({}, address)).toMatch(/server sent an error response during SSL exchange/)
    })

    test('another answer is refused', async () => {
      const address = await impersonate((socket) => socket.write('?'))
      expect(await refusal({}, address)).toMatch(/received invalid response to SSL negotiation/)
    })

    test('a server that hangs up instead of answering is an error of its own', async () => {
      const address = await impersonate((socket) => socket.destroy())
      expect(await refusal({}, address)).toMatch(
        /server closed the connection instead of answering SSLRequest/,
      )
    })

    test('a server that never finishes the handshake ends at server_connect_timeout', async () => {
      const address = await impersonate((socket) => socket.write('S'))
      const begin = Date.now()
      expect(await refusal({ server_connect_timeout: '300ms' }, address)).toMatch(/server_connect_timeout/)
      expect(Date.now() - begin).toBeLessThan(3000)
    })

    test('direct TLS to a server that agrees on no protocol is refused', async () => {
      const context = { key: await readFile(own.key), cert: await readFile(own.certificate) }
      const listening = createServer((socket) => {
        const tls = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(context) })
        tls.on('error', () => {})
      })
      impostor = listening
      await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
      const address = { host: '127.0.0.1', port: (listening.address() as AddressInfo).port }
      const settings = { server_tls_sslmode: 'require', server_tls_sslnegotiation: 'direct' } as const
      expect(await refusal(settings, address)).toMatch(/without ALPN protocol negotiation extension/)
    })

    test('the host name is sent as SNI, and an address is not', async () => {
      const names: string[] = []
      const context = { key: await readFile(own.key), cert: await readFile(own.certificate) }
      const address = await impersonate((socket) => {
        socket.write('S')
        const tls = new TLSSocket(socket, {
          isServer: true,
          secureContext: createSecureContext(context),
          SNICallback: (name, done) => {
            names.push(name)
            done(null)
          },
        })
        tls.on('error', () => {})
        tls.once('data', () => tls.destroy())
      })
      for (const host of ['localhost', '127.0.0.1']) {
        expect(await refusal({ server_tls_sslmode: 'require' }, { ...address, host })).toMatch(/closed|lost/)
        await pooler.stop()
      }
      expect(names).toEqual(['localhost'])
    })
  })

  test('a certificate alone logs nobody in: TLS changes nothing about passwords', async () => {
    await start({ auth_type: 'scram-sha-256' })
    const client = await openTls(pooler)
    client.send(f.startup(login()))
    const request = await client.receive()
    expect(isMessage(request, 'R') && request.method).toBe(10)
    client.destroy()
  })
})
