import { userInfo } from 'node:os'
import type { Config } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Endpoint } from '../net/transport.ts'

/** TopTarget: which console `pooler top` looks at, and as whom. */
export interface TopTarget {
  readonly endpoint: Endpoint
  /** "pgbouncer" or "pooler". */
  readonly database: string
  readonly user: string
  readonly password: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const DEFAULT_PORT = 6432
const DATABASE = 'pgbouncer'
/** Addresses that mean all, and where such a listener can be reached. */
const REACHABLE: ReadonlyMap<string, string> = new Map([
  ['*', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
])

export function isUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text)
}

/** postgres://user:password@host:port/database; what is missing is PGUSER, PGPASSWORD, 127.0.0.1, 6432 and pgbouncer. */
export function targetOfUrl(text: string, environment: Environment): TopTarget {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.search !== '') {
    // The text itself may hold a password.
    throw new PoolerError(
      SqlState.ConfigurationError,
      'the address of the console is no postgres://user:password@host:port/pgbouncer, without parameters behind it',
    )
  }
  return {
    endpoint: {
      host: url.hostname === '' ? '127.0.0.1' : url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    },
    database: decodeURIComponent(url.pathname.slice(1)) || DATABASE,
    user: decodeURIComponent(url.username) || (environment.PGUSER ?? userInfo().username),
    password: decodeURIComponent(url.password) || environment.PGPASSWORD,
  }
}

/** The console of the pooler with this configuration, as PGUSER or the first of those who may use it. */
export function targetOfConfig({ pooler }: Config, environment: Environment): TopTarget {
  const [address] = pooler.listen_addr
  const user = environment.PGUSER ?? pooler.stats_users[0] ?? pooler.admin_users[0]
  if (user === undefined) {
    throw new PoolerError(
      SqlState.ConfigurationError,
      'the configuration lets nobody use the console: name somebody in stats_users or admin_users',
    )
  }
  const socket = pooler.unix_socket_dir
  return {
    endpoint:
      address === undefined && socket !== undefined && socket !== ''
        ? { path: `${socket}/.s.PGSQL.${pooler.listen_port}` }
        : { host: REACHABLE.get(address ?? '*') ?? address ?? '127.0.0.1', port: pooler.listen_port },
    database: DATABASE,
    user,
    password: environment.PGPASSWORD,
  }
}
