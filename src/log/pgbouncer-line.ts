import { LocalTime } from './local-time.ts'
import { LevelNumber, type LogRecord, logEvent } from './log-events.ts'

/**
 * PgbouncerLine: what was logged as a line of PgBouncer's log: time with milliseconds and time zone, process, level,
 * connection, text.
 *
 *     2026-11-25 21:05:15.123 UTC [4711] LOG C-0x0000002a: app/ann@10.0.0.5:40123 login attempt: db=app ...
 *     2026-11-25 21:05:15.125 UTC [4711] LOG S-0x0000002b: app/ann@10.0.0.9:5432 new connection to server (from ...)
 *
 * Source: PgBouncer 1.25, log_generic() and log_socket_prefix(), which pgBadger's parser expects.
 */

/** Fields that every line has, or that its prefix shows. */
const notShown: ReadonlySet<string> = new Set([
  'level',
  'time',
  'pid',
  'hostname',
  'msg',
  'clientId',
  'client',
  'serverId',
  'server',
  'serverPid',
  'database',
  'user',
])

export class PgbouncerLine {
  readonly #time = new LocalTime()

  /** `unixPort`: shown as the port of clients on the unix socket. The line ends with a newline; empty for no line. */
  format(record: LogRecord, unixPort: number): string {
    const { level, time, pid, msg } = record
    const event = logEvent(msg)
    const text = event?.text === undefined ? textOf(record) : event.text(record)
    if (text === undefined) return ''
    const tag = tagOf(event?.level ?? Number(level))
    return `${this.#time.text(new Date(String(time)))} [${pid}] ${tag} ${indented(prefix(record, unixPort) + text)}\n`
  }
}

function tagOf(level: number): string {
  if (level >= LevelNumber.fatal) return 'FATAL'
  if (level >= LevelNumber.error) return 'ERROR'
  if (level >= LevelNumber.warn) return 'WARNING'
  if (level >= LevelNumber.info) return 'LOG'
  return level >= LevelNumber.debug ? 'DEBUG' : 'NOISE'
}

function prefix({ clientId, client, serverId, server, database, user }: LogRecord, unixPort: number): string {
  const who = `${database || '(nodb)'}/${user || '(nouser)'}`
  if (clientId !== undefined) return `C-${pointer(clientId)}: ${who}@${place(String(client), unixPort)} `
  if (serverId !== undefined) return `S-${pointer(serverId)}: ${who}@${place(String(server), unixPort)} `
  return ''
}

/** As in the console's column ptr. */
function pointer(id: unknown): string {
  return `0x${Number(id).toString(16).padStart(8, '0')}`
}

/** `address:port`, with brackets for IPv6, or `unix:port`. */
function place(peer: string, unixPort: number): string {
  if (peer === 'unix') return `unix:${unixPort}`
  const colon = peer.lastIndexOf(':')
  const host = peer.slice(0, colon)
  if (peer.startsWith('/')) return `unix:${peer.slice(peer.lastIndexOf('.') + 1)}`
  return host.includes(':') && !host.startsWith('[') ? `[${host}]${peer.slice(colon)}` : peer
}

/** For what PgBouncer has no words for: the message, and what else is known. */
function textOf(record: LogRecord): string {
  const details: string[] = []
  for (const [key, value] of Object.entries(record)) {
    if (key === 'err') details.push((value as Error).message)
    else if (!notShown.has(key)) details.push(`${key}=${detail(value)}`)
    else if (isLoneName(key, record)) details.push(`${key}=${detail(value)}`)
  }
  const message = record.msg === undefined ? '' : String(record.msg)
  return details.length === 0 ? message : `${message}: ${details.join(', ')}`
}

/** A database or a user of an event that is about no connection, so that no prefix shows them. */
function isLoneName(key: string, { clientId, serverId }: LogRecord): boolean {
  return (key === 'database' || key === 'user') && clientId === undefined && serverId === undefined
}

function detail(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** A line that goes on is indented, so that no text and no name can pass for a line of its own. */
function indented(text: string): string {
  return text.includes('\n') || text.includes('\r') ? text.trimEnd().replaceAll(/\r\n?|\n/g, '\n\t') : text
}
