/**
 * The rows of the table of settings about the process and its files. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

export const processSettings = {
  unix_socket_dir: {
    type: 'path',
    reloadable: false,
    in: {
      pooler: {
        otherwise: 'no unix socket',
        example: '/run/pooler',
        doc: [
          'Folder of the unix socket to accept clients on, which is called .s.PGSQL. and the port: "psql -h FOLDER"',
          'finds it. The folder must exist. Lines of auth_hba_file that begin with "local" apply to such clients;',
          'they never use TLS, whatever client_tls_sslmode says. PgBouncer has a socket in /tmp unless told',
          'otherwise; here everybody who can connect without the network is let in only if that is written down.',
        ],
      },
    },
  },
  unix_socket_mode: {
    type: 'mode',
    reloadable: false,
    in: {
      pooler: {
        otherwise: '"0777"',
        example: '0770',
        doc: [
          'Permissions of the unix socket: who may write to it may connect. An octal number, as a string or with',
          "TOML's prefix 0o. Needs unix_socket_dir.",
        ],
      },
    },
  },
  unix_socket_group: {
    type: 'string',
    reloadable: false,
    pattern: /^[^\0\s:]+$/,
    expected: 'the name or the number of a group, as a string',
    in: {
      pooler: {
        otherwise: 'the group that the pooler runs as',
        example: 'postgres',
        doc: [
          'Group of the unix socket: a name of /etc/group or a number. Unless it is root, the pooler must itself be',
          'in it. Needs unix_socket_dir.',
        ],
      },
    },
  },
  pidfile: {
    type: 'path',
    reloadable: false,
    in: {
      pooler: {
        otherwise: 'no file',
        example: '/run/pooler/pooler.pid',
        doc: [
          'File that holds the number of the process while the pooler runs; a second pooler with the same file does',
          'not start. For the command "pooler", not for a pooler inside another program.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
