import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'

export interface HttpAnswer {
  readonly status: number
  /** Content-Type; plain text unless given. */
  readonly type?: string
  readonly body: string
}

/** Answers a GET of one path. */
export type HttpRoute = (query: URLSearchParams) => HttpAnswer | Promise<HttpAnswer>

/** Whoever asks sends a line and a few headers: more of anything is not a scraper. */
const MAX_HEADER_BYTES = 8 * 1024
const HEADERS_TIMEOUT_MS = 5000
const REQUEST_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 5000
const CHECK_INTERVAL_MS = 1000
const MAX_CONNECTIONS = 64
const MAX_REQUESTS_PER_SOCKET = 1000

/**
 * HttpListener: a few paths over HTTP, for machines that watch the pooler. GET and HEAD alone; no connection is kept
 * for long, and there are never many. Made by the composition root; owns the listener.
 */
export class HttpListener {
  readonly #routes: ReadonlyMap<string, HttpRoute>
  readonly #log: Logger
  #server: Server | null = null

  constructor(routes: ReadonlyMap<string, HttpRoute>, log: Logger) {
    this.#routes = routes
    this.#log = log
  }

  /** Where it listens; undefined before open() and after close(). */
  get address(): { host: string; port: number } | undefined {
    const bound = this.#server?.address()
    return typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : undefined
  }

  /** Rejects with a PoolerError F0000 where the address cannot be listened on. */
  async open({ host, port }: { host: string; port: number }): Promise<void> {
    const server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
      },
      (request, response) => void this.#answer(request, response),
    )
    server.maxConnections = MAX_CONNECTIONS
    server.maxRequestsPerSocket = MAX_REQUESTS_PER_SOCKET
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(host, port, error)))
      server.listen({ host, port }, resolve)
    })
    // What accept() fails with later (EMFILE) passes; without a listener it would end the process.
    server.on('error', (error) => this.#log.warn({ reason: error.message }, 'HTTP listener'))
    this.#server = server
    this.#log.info({ ...this.address }, 'listening for HTTP')
  }

  /** Ends the listener and all its connections, also those in the middle of an answer. */
  async close(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body that nobody asked for is not read into memory.
    request.resume()
    const { status, type, body } = await this.#find(request)
    const isAllowed = status !== 405
    response.writeHead(status, {
      'Content-Type': type ?? 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      ...(isAllowed ? {} : { Allow: 'GET, HEAD' }),
    })
    response.end(request.method === 'HEAD' ? '' : body)
  }

  async #find({ method, url = '/' }: IncomingMessage): Promise<HttpAnswer> {
    const [path = '', query = ''] = url.split('?', 2)
    const route = this.#routes.get(path)
    if (route === undefined)
      return sentence(404, `there is nothing at this path; there are ${[...this.#routes.keys()].join(', ')}`)
    if (method !== 'GET' && method !== 'HEAD') return sentence(405, 'only GET and HEAD are answered')
    try {
      return await route(new URLSearchParams(query))
    } catch (error) {
      this.#log.error({ err: error, path }, 'HTTP request failed')
      return sentence(500, 'this could not be answered; the log of the pooler says why')
    }
  }
}

/** A status and one line for people. */
export function sentence(status: number, text: string): HttpAnswer {
  return { status, body: `${text}\n` }
}

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): PoolerError {
  const message =
    error.code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use by another program: choose another http_listen, or stop that program`
      : `cannot listen for HTTP on ${host}, port ${port}: ${error.message}`
  return new PoolerError(SqlState.ConfigurationError, message, { cause: error })
}
