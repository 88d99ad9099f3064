import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildConfig } from '../../../src/config/config.ts'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import type { TlsContext } from '../../../src/net/tls-context.ts'
import { TlsDirectory } from '../../../src/net/tls-directory.ts'
import type { BoundListener, Connection, TlsSession } from '../../../src/net/transport.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'
import { ConnectionRecorder } from '../../support/connection-recorder.ts'
import { TlsRecordRelay } from '../../support/tls-record-relay.ts'

/** An open connection of the transport, encrypted at both ends: what each learns, and how it ends. */

describe.runIf(hasOpenssl())('a connection over TLS', () => {
  const transport = createTransport(new FlushQueue())
  let folder: string
  let serverContext: TlsContext
  let clientContext: TlsContext
  let strangeContext: TlsContext
  let listener: BoundListener | undefined

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-node-tls-'))
    const authority = await CertificateAuthority.create(folder)
    const stranger = await CertificateAuthority.create(join(folder, 'stranger'), 'stranger')
    const own = await authority.issue('server', { names: ['DNS:localhost'], signature: ['-sha384'] })
    const client = await authority.issue('alice')
    const directory = await TlsDirectory.load(
      buildConfig({
        pooler: {
          client_tls_sslmode: 'verify-ca',
          client_tls_key_file: own.key,
          client_tls_cert_file: own.certificate,
          client_tls_ca_file: authority.certificate,
          server_tls_sslmode: 'verify-full',
          server_tls_key_file: client.key,
          server_tls_cert_file: client.certificate,
          server_tls_ca_file: authority.certificate,
        },
        databases: { good: {}, bad: { server_tls_ca_file: stranger.certificate } },
      }),
    )
    const contextOf = (name: string): TlsContext => {
      const tls = directory.server(name)
      if (tls.mode === 'disable') throw new Error('TLS is on')
      return tls.context
    }
    if (directory.clients === null) throw new Error('TLS is on')
    serverContext = directory.clients.context
    clientContext = contextOf('good')
    strangeContext = contextOf('bad')
  })
  afterAll(() => rm(folder, { recursive: true }))
  afterEach(() => listener?.close())

  /** One end goes; the other is told, and goes too. */
  async function leave(near: ConnectionRecorder, far: ConnectionRecorder): Promise<void> {
    near.connection.destroy()
    await far.ended
    far.connection.destroy()
    await Promise.all([near.closed, far.closed])
  }

  /** Both ends of a connection, not encrypted yet. */
  async function pair(
    through: (port: number) => Promise<number> = (port) => Promise.resolve(port),
  ): Promise<{ near: ConnectionRecorder; far: ConnectionRecorder }> {
    const accepted = new Promise<Connection>((resolve) => {
      void transport.listen({ host: '127.0.0.1', port: 0, backlog: 5 }, resolve).then((bound) => {
        listener = bound
        resolveBound(bound)
      })
    })
    let resolveBound!: (bound: BoundListener) => void
    const bound = new Promise<BoundListener>((resolve) => {
      resolveBound = resolve
    })
    const port = await through((await bound).port)
    const near = new ConnectionRecorder(
      await transport.connect({ host: '127.0.0.1', port }, new AbortController().signal),
    )
    return { near, far: new ConnectionRecorder(await accepted) }
  }

  async function encrypted(
    through?: (port: number) => Promise<number>,
  ): Promise<{ near: ConnectionRecorder; far: ConnectionRecorder; sessions: readonly TlsSession[] }> {
    const { near, far } = await pair(through)
    far.connection.startTls?.({ side: 'server', context: serverContext })
    near.connection.startTls?.({ side: 'client', context: clientContext, host: 'localhost' })
    return { near, far, sessions: await Promise.all([near.secured, far.secured]) }
  }

  test('has the same channel binding at both ends, and knows who the peer is', async () => {
    const { near, far, sessions } = await encrypted()
    const [client, server] = sessions
    expect(client?.channelBinding).toHaveLength(48)
    expect(client?.channelBinding).toEqual(server?.channelBinding)
    expect(client).toMatchObject({ protocol: 'TLSv1.3', alpn: 'postgresql' })
    expect(client?.peerCertificate).toEqual({ commonName: 'server' })
    expect(server?.peerCertificate).toEqual({ commonName: 'alice' })
    await leave(near, far)
  })

  test('carries bytes both ways and may reuse what was written at once', async () => {
    const { near, far } = await encrypted()
    const scratch = Buffer.alloc(1000, 'a')
    expect(near.connection.write(scratch)).toBe(true)
    scratch.fill('b')
    expect(near.connection.write(scratch)).toBe(true)
    expect((await far.bytes(2000)).toString()).toBe('a'.repeat(1000) + 'b'.repeat(1000))
    far.connection.write(Buffer.from('reply'))
    expect((await near.bytes(5)).toString()).toBe('reply')
    await leave(near, far)
  })

  test('sends records of at most 8 KiB towards clients', async () => {
    let relay: TlsRecordRelay | undefined
    const { near, far } = await encrypted(async (port) => {
      relay = await TlsRecordRelay.open(port)
      return relay.port
    })
    far.connection.write(Buffer.alloc(60_000, 'x'))
    await near.bytes(60_000)
    const lengths = relay?.recordLengths() ?? []
    expect(lengths.length).toBeGreaterThan(7)
    // What encryption adds to each is less than 256 bytes (RFC 8446, section 5.2).
    expect(Math.max(...lengths)).toBeLessThan(8192 + 256)
    await leave(near, far)
    await relay?.close()
  })

  test('reports what is pending to a reader that has stopped, and its drain when it goes on', async () => {
    const { near, far } = await encrypted()
    near.connection.pause()
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const total = 8 * 1024 * 1024
    let written = 0
    for (; written < total; written += chunk.length) far.connection.write(chunk)
    expect(far.connection.pendingBytes).toBeGreaterThan(1024 * 1024)
    expect(near.received).toHaveLength(0)
    near.connection.resume()
    let last = 0
    near.onData = (_buffer, start, end) => {
      last += end - start
      if (last === written) near.connection.write(Buffer.from('done'))
    }
    await far.bytes(4)
    expect(far.connection.pendingBytes).toBe(0)
    expect(far.drains).toBeGreaterThan(0)
    await leave(near, far)
  })

  test('may be half closed: the other half still carries what is sent', async () => {
    const { near, far } = await encrypted()
    near.connection.write(Buffer.from('last words'))
    near.connection.end()
    await far.ended
    expect(far.received.toString()).toBe('last words')
    far.connection.write(Buffer.from('answer'))
    far.connection.end()
    await near.ended
    expect(near.received.toString()).toBe('answer')
    await Promise.all([near.closed, far.closed])
    expect([near.closes, far.closes]).toEqual([1, 1])
  })

  test('that is refused by one end is closed once at each, with the reason', async () => {
    const { near, far } = await pair()
    far.connection.startTls?.({ side: 'server', context: serverContext })
    near.connection.startTls?.({ side: 'client', context: strangeContext, host: 'localhost' })
    const error = await near.closed
    expect(error?.message).toMatch(/^TLS handshake failed: self.signed certificate in certificate chain$/)
    // With TLS 1.3 the other end may believe that all went well until it hears of the end.
    await Promise.race([far.ended, far.closed])
    far.connection.destroy()
    await far.closed
    expect([near.closes, far.closes]).toEqual([1, 1])
  })

  test.each(['localhost', '127.0.0.1', 'elsewhere.example'])(
    'is refused by whom no authority vouches for, as %s too',
    async (host) => {
      const { near, far } = await pair()
      far.connection.startTls?.({ side: 'server', context: serverContext })
      near.connection.startTls?.({ side: 'client', context: strangeContext, host })
      expect((await near.closed)?.message).toMatch(/^TLS handshake failed: self.signed certificate in/)
      far.connection.destroy()
      await far.closed
    },
  )

  test.each([
    ['elsewhere.example', /elsewhere\.example\.? is not in the cert's altnames: DNS:localhost/],
    ['127.0.0.1', /127\.0\.0\.1 is not in the cert's list/],
  ])('is refused where the certificate does not name %s', async (host, message) => {
    const { near, far } = await pair()
    far.connection.startTls?.({ side: 'server', context: serverContext })
    near.connection.startTls?.({ side: 'client', context: clientContext, host })
    expect((await near.closed)?.message).toMatch(message)
    far.connection.destroy()
    await far.closed
  })

  test('sends and delivers nothing during the handshake, and ends at once when told to', async () => {
    const { near, far } = await pair()
    far.connection.startTls?.({ side: 'server', context: serverContext })
    expect(far.connection.write(Buffer.from('secret'))).toBe(true)
    far.connection.end()
    expect((await far.closed)?.message).toBe('TLS handshake failed: the other side closed the connection')
    await near.ended
    expect(near.received).toHaveLength(0)
    near.connection.destroy()
  })

  test.each(['garbage that is no record at all', '\x15\x03\x01\0\x02\x02\x28'])(
    'does not survive %j instead of a handshake',
    async (bytes) => {
      const { near, far } = await pair()
      far.connection.startTls?.({ side: 'server', context: serverContext })
      near.connection.write(Buffer.from(bytes, 'latin1'))
      expect((await far.closed)?.message).toMatch(/^TLS handshake failed: /)
      expect(far.received).toHaveLength(0)
      near.connection.destroy()
    },
  )
})
