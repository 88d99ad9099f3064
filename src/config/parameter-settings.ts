/**
 * The rows of the table of settings about session parameters that a database's server connections start with: what
 * holds in a session whose client asks for nothing else. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** The settings whose names are those of session parameters of PostgreSQL, in lower case. */
export const parameterSettings = {
  client_encoding: {
    type: 'string',
    reloadable: true,
    in: {
      database: {
        otherwise: "the server's own",
        example: 'UTF8',
        doc: ['The client_encoding of clients that ask for none themselves.'],
      },
    },
  },
  datestyle: {
    type: 'string',
    reloadable: true,
    in: {
      database: {
        otherwise: "the server's own",
        example: 'ISO, DMY',
        doc: ['The DateStyle of clients that ask for none themselves.'],
      },
    },
  },
  timezone: {
    type: 'string',
    reloadable: true,
    in: {
      database: {
        otherwise: "the server's own",
        example: 'Europe/Vienna',
        doc: ['The TimeZone of clients that ask for none themselves.'],
      },
    },
  },
  application_name: {
    type: 'string',
    reloadable: true,
    in: {
      database: {
        otherwise: 'an empty one',
        example: 'app',
        doc: ['The application_name of clients that give none themselves.'],
      },
    },
  },
} as const satisfies Record<string, Setting>
