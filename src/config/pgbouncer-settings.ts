/**
 * The settings of PgBouncer 1.25 that have no effect here, each with the reason: whoever brings a PgBouncer
 * configuration is told so, instead of being shown the nearest name that happens to be spelled alike. A setting
 * that is built leaves this table. Read by read-section.ts (TOML), ini-input.ts (PgBouncer's own files) and
 * pgbouncer-differences.ts (the README).
 * Source: PgBouncer's configuration reference, sections [pgbouncer], [databases] and [users].
 */
import type { Scope } from './setting.ts'

export interface PgbouncerSetting {
  /** Which section of a pgbouncer.ini carries it. */
  readonly in: Exclude<Scope, 'user'>
  /** What PgBouncer takes for its value. */
  readonly type: 'integer' | 'time' | 'text'
  /** What holds with PgBouncer where nothing is written. */
  readonly default: string
  /** Why it has no effect; completes "has no effect: " or, where it is refused, "expected DEFAULT: ". */
  readonly why: string
  /** True where ignoring any other value than the default would be unsafe: the start is refused. */
  readonly refused?: true
}

const OF_SYSLOG = 'it is about syslog, which is not written to'
const OS_KEEPALIVE = 'Node.js leaves this to the operating system; keepalive itself is always on'
const OS_DNS =
  'names are looked up as the operating system does it; dns_max_ttl says how long an answer is kept'
const TLS_BY_NODE = 'Node.js and OpenSSL choose the key exchange'

const setting = (
  section: PgbouncerSetting['in'],
  type: PgbouncerSetting['type'],
  value: string,
  why: string,
): PgbouncerSetting => ({ in: section, type, default: value, why })

export const pgbouncerSettings: Readonly<Record<string, PgbouncerSetting>> = {
  application_name_add_host: {
    ...setting(
      'pooler',
      'integer',
      '0',
      'the application_name is passed on as the client gave it; let the application add what it needs',
    ),
    refused: true,
  },
  auth_ldap_options: {
    ...setting('pooler', 'text', '', 'LDAP is not spoken here; use auth_query or secrets in auth_file'),
    refused: true,
  },
  auth_pam_confdir: setting('pooler', 'text', '', 'PAM is not spoken here'),
  autodb_idle_timeout: setting(
    'pooler',
    'time',
    '3600',
    'a database that "*" stands in for costs nothing while it is unused',
  ),
  client_tls_dheparams: setting('pooler', 'text', 'auto', TLS_BY_NODE),
  client_tls_ecdhcurve: setting('pooler', 'text', 'auto', TLS_BY_NODE),
  conffile: setting('pooler', 'text', '', 'a reload reads the file of the command line again'),
  disable_pqexec: {
    ...setting(
      'pooler',
      'integer',
      '0',
      'simple queries are always let through; take away what the user may do in PostgreSQL instead',
    ),
    refused: true,
  },
  dns_zone_check_period: setting('pooler', 'time', '0', OS_DNS),
  resolv_conf: setting('pooler', 'text', '', OS_DNS),
  job_name: setting('pooler', 'text', 'pgbouncer', 'it names a service of Windows'),
  service_name: setting('pooler', 'text', 'pgbouncer', 'it names a service of Windows'),
  syslog: {
    ...setting(
      'pooler',
      'integer',
      '0',
      'Node.js cannot write to the socket of syslog; let the journal of systemd keep what goes to standard error, pipe ' +
        'that into the program logger, or set logfile',
    ),
    refused: true,
  },
  syslog_facility: setting('pooler', 'text', 'daemon', OF_SYSLOG),
  syslog_ident: setting('pooler', 'text', 'pgbouncer', OF_SYSLOG),
  login_notify_message: setting('pooler', 'text', '', 'this version sends no notice after a login'),
  max_packet_size: setting(
    'pooler',
    'integer',
    '2147483647',
    'long messages pass through in pieces; those that the pooler has to keep have limits of their own',
  ),
  peer_id: setting('pooler', 'integer', '0', 'one process serves all clients and their cancel requests'),
  pkt_buf: setting('pooler', 'integer', '4096', 'buffers are sized by the pooler'),
  pool_idle_timeout: setting('pooler', 'time', '0', 'a pool that nobody uses is removed by itself'),
  sbuf_loopcnt: setting('pooler', 'integer', '5', 'back-pressure keeps one connection from delaying others'),
  scram_iterations: setting(
    'pooler',
    'integer',
    '4096',
    'SCRAM secrets that are derived from passwords have 4096 iterations',
  ),
  server_fast_close: setting(
    'pooler',
    'integer',
    '0',
    'with session pooling, a server connection that is to be replaced is closed when its client leaves',
  ),
  server_reset_query_always: {
    ...setting(
      'pooler',
      'integer',
      '0',
      'settings, listeners and cursors that a client left behind are cleared before the next one without it, and ' +
        'DISCARD ALL after each transaction would drop all prepared statements; with session pooling alone it is ' +
        'accepted',
    ),
    refused: true,
  },
  so_reuseport: setting('pooler', 'integer', '0', 'Node.js cannot share a port; run one process'),
  tcp_defer_accept: setting('pooler', 'integer', '1', 'Node.js has no way to set it'),
  tcp_keepalive: setting('pooler', 'integer', '1', OS_KEEPALIVE),
  tcp_keepcnt: setting('pooler', 'integer', '0', OS_KEEPALIVE),
  tcp_keepidle: setting('pooler', 'integer', '0', OS_KEEPALIVE),
  tcp_keepintvl: setting('pooler', 'integer', '0', OS_KEEPALIVE),
  tcp_socket_buffer: setting('pooler', 'integer', '0', 'Node.js has no way to set it'),
  tcp_user_timeout: setting(
    'pooler',
    'integer',
    '0',
    'Node.js has no way to set it; query_timeout and server_check_delay notice dead peers',
  ),
  track_extra_parameters: setting(
    'pooler',
    'text',
    'IntervalStyle',
    'every parameter that PostgreSQL reports, and every one that a client gives at startup, follows the client',
  ),
  connect_query: {
    ...setting(
      'database',
      'text',
      '',
      'what it sets would be cleared with what clients leave behind; use ALTER DATABASE or ALTER ROLE ... SET, or ' +
        'client_encoding, datestyle, timezone and application_name beside it',
    ),
    refused: true,
  },
}

/** Other names of settings that are in the table of settings. */
export const pgbouncerAliases: Readonly<Record<string, string>> = { reserve_pool: 'reserve_pool_size' }

/** Values of settings that exist here, but not with these values: why, and what to do instead. */
export const refusedValues: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  auth_type: {
    ldap: 'LDAP is not spoken here; use auth_query, or secrets in auth_file',
    pam: 'PAM is not spoken here; use auth_query, or secrets in auth_file',
  },
}

/** Words of PgBouncer for values that have other names here. */
export const otherWords: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  client_tls_protocols: { all: 'secure', legacy: 'secure', default: 'secure' },
  server_tls_protocols: { all: 'secure', legacy: 'secure', default: 'secure' },
  client_tls_ciphers: { secure: 'default', fast: 'default', normal: 'default' },
  server_tls_ciphers: { secure: 'default', fast: 'default', normal: 'default' },
}

/** For whoever writes one of them into a pooler.toml. */
export const pgbouncerSettingsNotHere: ReadonlySet<string> = new Set([
  ...Object.keys(pgbouncerSettings),
  ...Object.keys(pgbouncerAliases),
])
