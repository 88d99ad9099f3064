/**
 * The rows of the table of settings about the log. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

export const logSettings = {
  log_format: {
    type: 'enum',
    reloadable: true,
    values: ['json', 'pgbouncer'],
    in: {
      pooler: {
        default: 'json',
        doc: [
          '"json" writes a JSON object per line to standard output, "pgbouncer" PgBouncer\'s lines with its texts to',
          'standard error, for pgBadger and for alerts that look for them; option -q keeps both from it.',
        ],
      },
    },
  },
  logfile: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no file',
        example: '/var/log/pooler/pooler.log',
        doc: [
          'File that the log is appended to as well. A reload opens it anew: rename it, then send SIGHUP (logrotate).',
        ],
      },
    },
  },
  log_level: {
    type: 'enum',
    reloadable: true,
    values: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    in: {
      pooler: {
        default: 'info',
        doc: [
          "The least important lines that are still logged. In PgBouncer's words these are NOISE, DEBUG, LOG, WARNING,",
          'ERROR and FATAL.',
        ],
      },
    },
  },
  verbose: {
    type: 'integer',
    reloadable: true,
    min: 0,
    max: 3,
    in: {
      pooler: {
        default: 0,
        doc: [
          "PgBouncer's way to ask for more than log_level does: 1 is as log_level debug, 2 and 3 are as trace. The -v",
          'of the command line are counted, and the higher number holds.',
        ],
      },
    },
  },
  log_connections: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: { default: true, doc: ['Log logins of clients, and server connections that were opened.'] },
    },
  },
  log_disconnections: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: { default: true, doc: ['Log the end of connections on both sides, with the reason.'] },
    },
  },
  log_pooler_errors: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: { default: true, doc: ['Log the errors that the pooler itself sends to clients.'] },
    },
  },
} as const satisfies Record<string, Setting>
