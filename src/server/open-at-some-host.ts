import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { endpointName } from '../net/endpoint-name.ts'
import type { Endpoint } from '../net/transport.ts'
import { goesBy } from './goes-by.ts'
import type { HostChoice, HostList } from './host-list.ts'
import type { ServerConnection } from './server-connection.ts'
import { connectTimeoutError, unreachable } from './server-login.ts'

export interface OpenAtSomeHostOptions {
  readonly hosts: HostList
  /** Connects and logs in. Rejects with a PoolerError. */
  readonly open: (endpoint: Endpoint, timeoutMs: number) => Promise<ServerConnection>
  /** server_connect_timeout in milliseconds, for all hosts together; 0 = none. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly log: Logger
}

interface Failure {
  readonly endpoint: Endpoint
  readonly error: PoolerError
}

/**
 * openAtSomeHost: one attempt of a pool to open a connection, at the first host that lets it. Each address is tried
 * once, in the order of the HostList, and may take its share of the time that is left: a host that does not answer
 * leaves enough for the others. What would be the same everywhere, such as a wrong password, ends the attempt.
 */
export async function openAtSomeHost(options: OpenAtSomeHostOptions): Promise<ServerConnection> {
  const { hosts, open, timeoutMs, signal } = options
  const deadlineMs = Date.now() + timeoutMs
  const { endpoints, unknown } = await chosen(options)
  const failures: Failure[] = unknown.map(({ endpoint, error }) => ({
    endpoint,
    error: unreachable(endpoint, error),
  }))
  for (const [index, endpoint] of endpoints.entries()) {
    const leftMs = Math.max(1, deadlineMs - Date.now())
    const shareMs = timeoutMs === 0 ? 0 : Math.ceil(leftMs / (endpoints.length - index))
    try {
      const server = await open(endpoint, shareMs)
      const isBack = hosts.succeeded(endpoint)
      if (isBack && endpoints.length > 1) options.log.info({ host: endpointName(endpoint) }, 'host is back')
      return server
    } catch (error) {
      if (!(error instanceof PoolerError) || signal.aborted) throw error
      if (!isPassedOver(error, hosts)) {
        // Whoever refuses a login is there.
        hosts.succeeded(endpoint)
        throw error
      }
      const isNews = hosts.failed(endpoint)
      failures.push({ endpoint, error })
      if (endpoints.length > 1)
        options.log[isNews ? 'warn' : 'debug'](
          { host: endpointName(endpoint), sqlState: error.sqlState, reason: error.message },
          'host passed over',
        )
    }
  }
  throw summary(failures)
}

function isPassedOver(error: PoolerError, { sticks }: HostList): boolean {
  const isFull = error.sqlState.startsWith('53')
  return goesBy(error) && !(sticks && isFull)
}

/** The hosts, within the time and until the signal: DNS may take longer than anybody wants to wait. */
function chosen({ hosts, timeoutMs, signal }: OpenAtSomeHostOptions): Promise<HostChoice> {
  return new Promise((resolve, reject) => {
    const timer = timeoutMs > 0 ? setTimeout(() => reject(connectTimeoutError()), timeoutMs) : undefined
    const onAbort = (): void => reject(new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down'))
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    void hosts
      .choose()
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      })
  })
}

/** One error for all hosts. The last one's SQLSTATE stands for all: each of them goes by. */
function summary(failures: readonly Failure[]): PoolerError {
  const last = failures.at(-1)?.error
  if (last === undefined) return new PoolerError(SqlState.CannotConnectNow, 'the database has no host')
  if (failures.length === 1) return last
  const reasons = failures.map(({ endpoint, error }) =>
    // What a server says itself does not tell which one it is.
    error.response === undefined ? error.message : `${error.message} (${endpointName(endpoint)})`,
  )
  return new PoolerError(last.sqlState, `no host could be connected to: ${reasons.join('; ')}`, {
    cause: new AggregateError(failures.map(({ error }) => error)),
  })
}
