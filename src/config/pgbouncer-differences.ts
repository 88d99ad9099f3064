/**
 * pgbouncerDifferences: everything that is other than with PgBouncer, as the tables of the README, made from the tables
 * that the loader reads so that they cannot fall behind. Called by write-differences.ts and by the test that compares
 * the README with it.
 */
import { pgbouncerDefaults } from './pgbouncer-defaults.ts'
import { pgbouncerSettings, refusedValues } from './pgbouncer-settings.ts'
import { settingIn } from './read-section.ts'

/** What the same words mean here, where no table of the loader knows it: [what, PgBouncer, pooler]. */
const BEHAVIOUR: readonly (readonly [string, string, string])[] = [
  [
    'prepared statements',
    'its own errors, which end the connection; a failed Parse keeps its name taken',
    "PostgreSQL's errors, and the client lives on",
  ],
  [
    'startup parameters',
    'unknown ones are refused unless in `ignore_startup_parameters`',
    'all are applied; those named there are ignored',
  ],
  [
    'what a client leaves behind in transaction pooling',
    'the next client meets it',
    'settings, roles, listeners, cursors and SQL-level statements are cleared',
  ],
  [
    'clients that vanish, `query_timeout` and its like',
    'the server connection is closed',
    'it is rolled back, canceled if need be, and used again',
  ],
  ['SQLSTATE of its own errors', '08P01', "PostgreSQL's; `error_codes = pgbouncer` for 08P01"],
  ['wrong passwords', 'answered at once', 'answered after `auth_failure_delay`'],
  ['users who are in no file', '`auth_query` at every login', 'at most one query a second, one for all'],
  [
    'a bad line of `auth_hba_file` or `auth_file`',
    'left out, with a line in the log',
    'an error with its number',
  ],
  ['`auth_file` that cannot be read', 'a line in the log', 'an error'],
  ['`verify-ca`, `verify-full` without a `*_tls_ca_file`', 'the authorities of the system', 'an error'],
  ['`client_tls_protocols = all`', 'TLS 1.0 to 1.3', 'TLS 1.2 and 1.3: older ones are forbidden by RFC 8996'],
  ['TLS to servers', 'one configuration, cancel requests in clear text', 'per database, cancel requests too'],
  ['new connections of a pool', 'one at a time', '`max_connecting` (5) at a time'],
  [
    'limits over several pools',
    'databases in alphabetical order come first',
    'whoever has waited longest comes first',
  ],
  [
    'a reload with an error in it',
    'half of it may be in effect',
    'nothing changes; the log has every problem with file and line',
  ],
  [
    'a second `[pgbouncer]` section, or one in an included file',
    'begins with all defaults again',
    'goes on where the first one ended',
  ],
  ['a forced `user` that is taken away', 'needs a restart', 'a reload is enough'],
  [
    'an entry of `[databases]` for `*` with an error in it',
    'nobody hears of it until a client asks for such a database',
    'an error with its line',
  ],
  [
    'a place of `listen_addr` that cannot be listened on',
    'a line in the log, unless it is the only one',
    'an error, unless another address of the same name works',
  ],
  [
    'sockets that systemd passes (`pgbouncer.socket`)',
    'used',
    'not used; `listen_addr` and `unix_socket_dir` hold',
  ],
  ['started as root', 'refused, unless `user` or `-u` is given', 'a warning; `user` and `-u` work the same'],
  ['`-d`, `-R`', 'a daemon; takes over the sockets of the process before', 'refused: use a service manager'],
  [
    'lines of the log',
    'each with its text',
    'the same for what both do, else texts of its own; `log_format = json` for JSON',
  ],
  [
    'a `logfile` that cannot be opened at a reload',
    'ends the process',
    'an error, and the one before goes on',
  ],
]

/** Without a newline at the end. */
export function pgbouncerDifferences(): string {
  return [
    'Where nothing is written, each format has its own defaults. They differ in:',
    table(
      ['setting', '`pgbouncer.ini`', '`pooler.toml`', 'because'],
      [
        ...Object.entries(pgbouncerDefaults).map(([name, { value, why }]) => [
          `\`${name}\``,
          code(value),
          ownDefault(name),
          why,
        ]),
        [
          '`host` of a database',
          '`unix_socket_dir`',
          code('127.0.0.1'),
          'nothing else is known of the machine',
        ],
      ],
    ),
    'These have no effect; one line of the log says so for each that is there:',
    table(['setting', 'because'], byReason()),
    'These are refused, because ignoring them would be unsafe:',
    table(
      ['setting', 'because'],
      [
        ...Object.entries(pgbouncerSettings)
          .filter(([, { refused }]) => refused)
          .map(([name, { default: usual, why }]) => [
            usual === '' ? `\`${name}\`` : `\`${name}\` other than ${usual}`,
            why,
          ]),
        ...Object.entries(refusedValues).flatMap(([name, values]) =>
          Object.entries(values).map(([value, why]) => [`\`${name} = ${value}\``, why]),
        ),
        ['a host that is twice in `host=`', 'each is used as often as the others'],
        [
          'a database called `pooler`',
          'it is another name of the console; give the entry another name and `dbname=pooler`',
        ],
        ['`unix_socket_dir = @name`, `host=@name`', 'abstract sockets are not possible here'],
      ],
    ),
    'And these mean something else:',
    table(['', 'PgBouncer', 'pooler'], BEHAVIOUR),
  ].join('\n\n')
}

function byReason(): string[][] {
  const names = new Map<string, string[]>()
  for (const [name, { why, refused }] of Object.entries(pgbouncerSettings)) {
    if (!refused) names.set(why, [...(names.get(why) ?? []), `\`${name}\``])
  }
  names.set('one process serves all clients and their cancel requests', ['`peer_id`', 'section `[peers]`'])
  names.set('the other setting is not as it has to be', [
    '`unix_socket_mode`, `unix_socket_group` without `unix_socket_dir`',
    '`auth_hba_file`, `auth_ident_file` without `auth_type = hba`',
    '`auth_query`, `auth_dbname` without `auth_user`',
    '`password` without `user`',
  ])
  return [...names].map(([why, settings]) => [settings.join(', '), why])
}

function ownDefault(name: string): string {
  const use = settingIn('pooler', name)?.in.pooler
  return use?.default === undefined ? (use?.otherwise ?? '') : code(use.default)
}

function code(value: string | number | boolean): string {
  return value === '' ? 'empty' : `\`${value}\``
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
