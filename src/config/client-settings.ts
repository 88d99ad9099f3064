/**
 * The rows of the table of settings about clients: where they are accepted, how many, and how they log in.
 * Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** The longest delay that a timer of Node takes: 2^31 - 1 ms, about 24 days. */
const LongestTimerMs = 2_147_483_647

export const clientSettings = {
  listen_addr: {
    type: 'list',
    reloadable: false,
    emptyAllowed: true,
    pattern: /^(?:\*|[A-Za-z0-9._:%-]+)$/,
    expected: 'IP addresses or host names without port and brackets, or "*" for all addresses',
    soleItem: '*',
    in: {
      pooler: {
        default: '127.0.0.1',
        doc: [
          'Addresses to accept clients on, separated by commas; "*" alone means every one of the machine. A name',
          'stands for all of its addresses, "::" for those of IPv6 alone.',
          'Empty where there is a unix_socket_dir and nothing else is wanted. PgBouncer listens on none unless',
          'told to.',
        ],
      },
    },
  },
  listen_port: {
    type: 'integer',
    reloadable: false,
    min: 1,
    max: 65535,
    zero: 'any free port',
    in: {
      pooler: {
        default: 6432,
        doc: [
          'TCP port to accept clients on, and a part of the name of the unix socket. 0 takes any free port.',
        ],
      },
    },
  },
  listen_backlog: {
    type: 'integer',
    reloadable: false,
    unit: 'connections',
    min: 1,
    in: {
      pooler: {
        default: 128,
        doc: [
          'How many connections may wait in the kernel until the pooler accepts them.',
          'The kernel may have a lower limit of its own (net.core.somaxconn on Linux).',
        ],
      },
    },
  },
  max_client_conn: {
    type: 'integer',
    reloadable: true,
    unit: 'connections',
    min: 1,
    in: {
      pooler: {
        default: 1000,
        doc: [
          'How many clients may be connected at the same time. Each takes one file descriptor, and so does',
          'each server connection: see "ulimit -n". PgBouncer starts with 100.',
        ],
      },
    },
  },
  auth_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no file, only the users of [users]',
        example: 'userlist.txt',
        doc: [
          'File of user names and secrets in the format of PgBouncer\'s userlist.txt: "name" "secret".',
          'A relative path starts at the folder of this file.',
        ],
      },
    },
  },
  client_login_timeout: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '60s',
        doc: ['How long a client may take from connecting to being logged in. 0 means without limit.'],
      },
    },
  },
  ignore_startup_parameters: {
    type: 'list',
    reloadable: true,
    emptyAllowed: true,
    pattern: /^[A-Za-z_][A-Za-z0-9_.$]*$/,
    expected: 'names of startup parameters',
    in: {
      pooler: {
        default: '',
        doc: [
          'Startup parameters of clients that are neither applied nor refused, separated by commas.',
          'Unlike in PgBouncer, every parameter that is not named here is applied, none is refused unseen.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
