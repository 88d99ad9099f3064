/**
 * The rows of the table of settings that say where a password is instead of holding it, beside `password`
 * itself. Only settings.ts imports it; secret-source.ts reads what they point at.
 */
import type { Setting } from './setting.ts'

const FileDoc = [
  'A file that holds the password instead: the whole file but for a newline at its end.',
  'A relative path starts at the folder of this file. Only one of the three may be given.',
]
const EnvironmentDoc = ['An environment variable that holds the password instead.']

export const secretSettings = {
  password_file: {
    type: 'path',
    reloadable: true,
    in: {
      database: { otherwise: 'see password', example: '/run/secrets/app_owner', doc: FileDoc },
      user: { otherwise: 'see password', example: '/run/secrets/app', doc: FileDoc },
    },
  },
  password_env: {
    type: 'string',
    reloadable: true,
    pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
    expected: 'the name of an environment variable',
    in: {
      database: { otherwise: 'see password', example: 'APP_OWNER_PASSWORD', doc: EnvironmentDoc },
      user: { otherwise: 'see password', example: 'APP_PASSWORD', doc: EnvironmentDoc },
    },
  },
} as const satisfies Record<string, Setting>
