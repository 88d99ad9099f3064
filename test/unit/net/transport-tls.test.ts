import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildConfig } from '../../../src/config/config.ts'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import type { TlsContext } from '../../../src/net/tls-context.ts'
import { TlsDirectory } from '../../../src/net/tls-directory.ts'
import type { BoundListener, Connection, SocketHandler, TlsSession } from '../../../src/net/transport.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'

/** An open connection of the transport, encrypted at both ends: what each learns, and how it ends. */

/** Notes what happens to one end, and lets a test wait for it. */
class Recorder implements SocketHandler {
  readonly connection: Connection
  readonly secured: Promise<TlsSession>
  readonly ended: Promise<void>
  readonly closed: Promise<Error | null>
  received = Buffer.alloc(0)
  largestChunk = 0
  drains = 0
  closes = 0
  onSecure!: (session: TlsSession) => void
  onEnd!: () => void
  #close!: (error: Error | null) => void
  #wanted: { bytes: number; resolve: () => void } | null = null

  constructor(connection: Connection) {
    this.connection = connection
    this.secured = new Promise((resolve) => {
      this.onSecure = resolve
    })
    this.ended = new Promise((resolve) => {
      this.onEnd = resolve
    })
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
    connection.setHandler(this)
  }

  async bytes(count: number): Promise<Buffer> {
    await new Promise<void>((resolve) => {
      this.#wanted = { bytes: count, resolve }
      this.#check()
    })
    return this.received
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.largestChunk = Math.max(this.largestChunk, end - start)
    this.received = Buffer.concat([this.received, buffer.subarray(start, end)])
    this.#check()
  }

  onDrain(): void {
    this.drains += 1
  }

  onClose(error: Error | null): void {
    this.closes += 1
    this.#close(error)
  }

  #check(): void {
    if (this.#wanted !== null && this.received.length >= this.#wanted.bytes) this.#wanted.resolve()
  }
}

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
  async function leave(near: Recorder, far: Recorder): Promise<void> {
    near.connection.destroy()
    await far.ended
    far.connection.destroy()
    await Promise.all([near.closed, far.closed])
  }

  /** Both ends of a connection, not encrypted yet. */
  async function pair(): Promise<{ near: Recorder; far: Recorder }> {
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
    const { port } = await bound
    const near = new Recorder(
      await transport.connect({ host: '127.0.0.1', port }, new AbortController().signal),
    )
    return { near, far: new Recorder(await accepted) }
  }

  async function encrypted(): Promise<{ near: Recorder; far: Recorder; sessions: readonly TlsSession[] }> {
    const { near, far } = await pair()
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
    const { near, far } = await encrypted()
    far.connection.write(Buffer.alloc(60_000, 'x'))
    await near.bytes(60_000)
    expect(near.largestChunk).toBeLessThanOrEqual(8192)
    await leave(near, far)
  })

  test('reports what is pending to a reader that has stopped, and its drain when it goes on', async () => {
    const { near, far } = await encrypted()
    near.connection.pause()
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const total = 32 * 1024 * 1024
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
    await far.closed
    expect([near.closes, far.closes]).toEqual([1, 1])
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
