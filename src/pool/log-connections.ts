import type { PoolerError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ServerConnection } from '../server/server-connection.ts'

/** What the log says of the server connections of a pool. */

interface NamedPool {
  readonly database: string
  readonly user: string
}

export function logOpened(log: Logger, { database, user }: NamedPool, server: ServerConnection): void {
  const { localAddress, localPort } = server.wire
  const from = localAddress === '' ? undefined : `${localAddress}:${localPort}`
  log.info(
    { pool: `${database}/${user}`, ...server.identity, database, user, from },
    'server connection opened',
  )
}

export function logClosed(
  log: Logger,
  { database, user }: NamedPool,
  server: ServerConnection,
  { sqlState, message: reason }: PoolerError,
): void {
  const ageSeconds = Math.floor((Date.now() - server.createdMs) / 1000)
  log.info(
    { pool: `${database}/${user}`, ...server.identity, database, user, sqlState, reason, ageSeconds },
    'server connection closed',
  )
}
