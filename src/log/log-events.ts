import type { LogSettings } from './log-settings.ts'

/**
 * The events that PgBouncer logs, too, by the message that they are logged with: which setting turns them off, and what
 * they are in PgBouncer's format. Whoever logs one knows nothing of that. Events that are not here are written with
 * their message and their fields in both formats.
 * Source: PgBouncer 1.25, its log lines; pgBadger and people's alerts look for them.
 */

/** An event as it was logged: its fields, and `msg`, `level` and `time` as pino names them. */
export type LogRecord = Readonly<Record<string, unknown>>

export interface LogEvent {
  /** Not logged where this setting is off. */
  readonly switch?: keyof LogSettings & `log_${'connections' | 'disconnections' | 'pooler_errors'}`
  /** How important PgBouncer takes it, where that is another level than the one that it is logged with. */
  readonly level?: number
  /** PgBouncer's text; undefined, always or for this record, where another line says everything. */
  readonly text: ((record: LogRecord) => string | undefined) | undefined
}

/** pino's numbers. */
export const LevelNumber = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const

const closing = ({ reason, ageSeconds, serverId }: LogRecord): string =>
  `closing because: ${pgbouncerReason(String(reason), serverId !== undefined)} (age=${ageSeconds}s)`

const signals: Readonly<Record<string, string>> = {
  SIGTERM: 'got SIGTERM, shutting down, waiting for all clients disconnect',
  SIGINT: 'got SIGINT, shutting down, waiting for all servers connections to be released',
  SIGQUIT: 'got SIGQUIT, fast exit',
}

const events: Readonly<Record<string, LogEvent>> = {
  'login attempt': {
    switch: 'log_connections',
    level: LevelNumber.info,
    text: ({ database, user, tls, replication }) =>
      `login attempt: db=${database} user=${user} tls=${tls} replication=${replication}`,
  },
  'new database by the entry for *': {
    text: ({ database }) => `registered new auto-database: db=${database}`,
  },
  'client connected': { switch: 'log_connections', text: undefined },
  'console opened': { switch: 'log_connections', text: undefined },
  'login refused': {
    switch: 'log_pooler_errors',
    // What the client is told is logged as such.
    text: ({ why }) => (why === undefined ? undefined : `login refused: ${why}`),
  },
  'error sent to client': {
    switch: 'log_pooler_errors',
    level: LevelNumber.warn,
    text: ({ reason }) => `pooler error: ${reason}`,
  },
  'login ended': { switch: 'log_disconnections', level: LevelNumber.info, text: closing },
  'client disconnected': { switch: 'log_disconnections', text: closing },
  'console closed': { switch: 'log_disconnections', text: closing },
  'server connection opened': {
    switch: 'log_connections',
    text: ({ from }) => `new connection to server${from === undefined ? '' : ` (from ${from})`}`,
  },
  'server login ended': { switch: 'log_disconnections', level: LevelNumber.info, text: closing },
  'server connection failed': { text: ({ pool, reason }) => `${pool}: server login failed: ${reason}` },
  'server connection closed': { switch: 'log_disconnections', text: closing },
  listening: {
    text: ({ host, port }) =>
      String(host).startsWith('/')
        ? `listening on unix:${host}/.s.PGSQL.${port}`
        : `listening on ${String(host).includes(':') ? `[${host}]` : host}:${port}`,
  },
  'process up': {
    text: ({ pgbouncer, version, node, tls }) =>
      `process up: PgBouncer ${pgbouncer} (pooler ${version}), Node.js ${node}, tls: ${tls}`,
  },
  'signal received': {
    text: ({ signal, again }) =>
      again ? `got ${signal} while shutting down, fast exit` : (signals[String(signal)] ?? `got ${signal}`),
  },
  'command issued': {
    text: ({ command, argument }) =>
      argument === undefined ? `${command} command issued` : `${command} '${argument}' command issued`,
  },
  'reload asked for': { text: () => 'got SIGHUP, re-reading config' },
  'pause asked for': { text: () => 'got SIGUSR1, pausing all activity' },
  'resume asked for': { text: () => 'got SIGUSR2, continuing from PAUSE' },
  'reload done': { text: undefined },
  'pause done': { text: undefined },
  'resume done': { text: undefined },
}

const byMessage = new Map(Object.entries(events))

/** The event that is logged with this message, if PgBouncer has it. */
export function logEvent(message: unknown): LogEvent | undefined {
  return byMessage.get(message as string)
}

/** Reasons that PgBouncer has other words for, by their beginning. */
const clientReasons: readonly (readonly [string, string])[] = [
  ['client closed the connection during login', 'client unexpected eof'],
  ['client closed the connection', 'client close request'],
  ['client connection was lost', 'client unexpected eof'],
]
const serverReasons: readonly (readonly [string, string])[] = [
  ['server_lifetime', 'server lifetime over'],
  ['server_idle_timeout', 'server idle timeout'],
  ['idle for server_idle_timeout', 'server idle timeout'],
  ['reconnect', 'obsolete connection'],
  ['another pool needs its place', 'evicted'],
  ['the server was not clean', 'unclean server'],
  ['the query of a client that has left', 'unclean server'],
  ['client left in the middle', 'unclean server'],
  ['server closed the connection', 'server conn crashed?'],
  ['connection to server was lost', 'server conn crashed?'],
  ['the server cannot be reached', 'connect failed'],
  ['the server did not complete the login', 'connect timeout'],
]

function pgbouncerReason(reason: string, isServer: boolean): string {
  const reasons = isServer ? serverReasons : clientReasons
  return reasons.find(([beginning]) => reason.startsWith(beginning))?.[1] ?? reason
}
