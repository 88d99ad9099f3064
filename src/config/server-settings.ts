/**
 * The rows of the table of settings about servers: where they are, how to log in, how long to keep a
 * connection. `password` is here for [users] too. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** The longest delay that a timer of Node takes: 2^31 - 1 ms, about 24 days. */
const LongestTimerMs = 2_147_483_647
/** For times that are only ever compared with a clock. */
const TenYearsMs = 10 * 365 * 24 * 3600 * 1000

export const serverSettings = {
  host: {
    type: 'list',
    reloadable: true,
    // A colon is part of an IPv6 address, or a port that has no business here.
    pattern: /^(?:\/[^\0]*|[^\s,:/@[\]\0]+|[\da-fA-F]*:[\da-fA-F]*:[\da-fA-F:.]*(?:%[\w.-]+)?)$/,
    expected:
      'host names, IP addresses (without brackets or ports), or absolute paths of unix socket directories',
    distinct: true,
    maxItems: 64,
    in: {
      database: {
        default: '127.0.0.1',
        doc: [
          'Where the server is: a host name, an address, or the absolute path of the directory of its unix',
          'socket. Several, separated by commas, share the connections as load_balance_hosts says, and all',
          'addresses of a name take part. A host that cannot be connected to is passed over for the others in',
          'the same attempt, and is tried last for a while. PgBouncer starts with the unix socket.',
        ],
      },
    },
  },
  port: {
    type: 'integer',
    reloadable: true,
    min: 1,
    max: 65535,
    in: {
      database: {
        default: 5432,
        doc: ['Port of the server, of every host if there are several; it names the unix socket too.'],
      },
    },
  },
  load_balance_hosts: {
    type: 'enum',
    reloadable: true,
    values: ['round-robin', 'disable'],
    in: {
      database: {
        default: 'round-robin',
        doc: [
          'Where host has several: "round-robin" opens each new connection at the next one, beginning with any.',
          '"disable" opens all at the first that works, and goes on to the next only when connecting there',
          'fails; a host that has no connection left (too_many_connections) is then not passed over.',
        ],
      },
    },
  },
  dbname: {
    type: 'string',
    reloadable: true,
    in: {
      database: {
        otherwise: 'NAME, or for "*" the name that the client asked for',
        example: 'app_production',
        doc: ["The database's name on the server."],
      },
    },
  },
  user: {
    type: 'string',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'whoever starts the pooler',
        example: 'pooler',
        fixed: true,
        doc: [
          'The account of this machine to become, for a pooler that is started as root: after this file has been',
          'read, before anything else is read or opened. Same as the option --user. An account of /etc/passwd.',
        ],
      },
      database: {
        otherwise: 'the name that the client logged in with',
        example: 'app_owner',
        doc: ['Log in to the server as this user, whoever the client is.'],
      },
    },
  },
  password: {
    type: 'string',
    reloadable: true,
    secret: true,
    in: {
      database: {
        otherwise: 'what [users] or auth_file have for that user',
        example: 'secret of app_owner',
        doc: ['The password of the forced user above.'],
      },
      user: {
        otherwise: 'what auth_file has for this user',
        example: 'md5d41d8cd98f00b204e9800998ecf8427e',
        doc: [
          'The secret of this user: the password itself, "md5" and 32 hex digits, or "SCRAM-SHA-256$..." as',
          'in pg_authid. Only the password itself serves every way to log in to a server.',
        ],
      },
    },
  },
  server_connect_timeout: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '15s',
        doc: [
          'How long connecting and logging in to a server may take. Where there are several hosts or addresses,',
          'it is the time for all of them, divided among those that are left to try. 0 means without limit.',
        ],
      },
    },
  },
  server_login_retry: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '15s',
        doc: [
          'The wait after a failed connection or login before the pool tries again; clients that need a new',
          "connection meanwhile get the server's error at once. 0 tries again without a wait.",
        ],
      },
    },
  },
  dns_max_ttl: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '15s',
        doc: [
          'How long the addresses of a host name are used until they are asked for again. Connections to an',
          'address that is no longer among them are closed as soon as they are unused. While there is no',
          'answer, the last one counts. 0 asks for each new connection.',
        ],
      },
    },
  },
  dns_nxdomain_ttl: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '15s',
        doc: ['How long it is until the addresses of a host name are asked for again after that has failed.'],
      },
    },
  },
  server_lifetime: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '3600s',
        doc: [
          'A server connection older than this is closed as soon as it is unused. 0 uses each connection',
          'only once.',
        ],
      },
      database: {
        otherwise: 'server_lifetime of [pooler]',
        example: '1h',
        doc: ['The server_lifetime of the connections to this database.'],
      },
    },
  },
  server_idle_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '600s',
        doc: ['A server connection that was not used for so long is closed. 0 turns this off.'],
      },
    },
  },
  server_check_delay: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '30s',
        doc: [
          'A server connection that was not used for so long must answer server_check_query before a client',
          'gets it. 0 means always.',
        ],
      },
    },
  },
  server_check_query: {
    type: 'string',
    reloadable: true,
    emptyAllowed: true,
    in: {
      pooler: {
        default: '<empty>',
        doc: [
          'What a server connection must answer after server_check_delay. "<empty>" is a query without any',
          'statement, the cheapest of all; an empty string turns the check off.',
        ],
      },
    },
  },
  server_reset_query: {
    type: 'string',
    reloadable: true,
    emptyAllowed: true,
    in: {
      pooler: {
        default: 'DISCARD ALL',
        doc: [
          'What a server connection runs before its next client, in session mode only: the other modes leave',
          'no session to reset. Empty runs nothing.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
