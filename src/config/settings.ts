/**
 * The table of all settings: the only place that knows one. The types of the Config, the TOML loader, the
 * example file and the console's SHOW CONFIG read from it. Names, defaults and meanings are PgBouncer's
 * (its configuration reference, by the same names) except where a doc line says otherwise.
 */
import { adminSettings } from './admin-settings.ts'
import { authQuerySettings } from './auth-query-settings.ts'
import { authSettings } from './auth-settings.ts'
import { clientSettings } from './client-settings.ts'
import { httpSettings } from './http-settings.ts'
import { logSettings } from './log-settings.ts'
import { parameterSettings } from './parameter-settings.ts'
import { poolSettings } from './pool-settings.ts'
import { processSettings } from './process-settings.ts'
import { secretSettings } from './secret-settings.ts'
import { serverSettings } from './server-settings.ts'
import type { HeldValue, Scope, Setting, WrittenValue } from './setting.ts'
import { timeoutSettings } from './timeout-settings.ts'
import { tlsSettings } from './tls-settings.ts'

/** In the order of the example file. */
export const settings = {
  ...clientSettings,
  ...processSettings,
  ...authSettings,
  ...authQuerySettings,
  ...serverSettings,
  ...secretSettings,
  ...parameterSettings,
  ...tlsSettings,
  ...poolSettings,
  ...timeoutSettings,
  ...adminSettings,
  ...httpSettings,
  ...logSettings,
  error_codes: {
    type: 'enum',
    reloadable: true,
    values: ['postgresql', 'pgbouncer'],
    in: {
      pooler: {
        default: 'postgresql',
        doc: [
          'The SQLSTATE of the pooler\'s own errors: "postgresql" sends what PostgreSQL would (53300, 57014, 57P01,',
          '...), "pgbouncer" sends 08P01 with all of them. What a server says is passed on as it is.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>

type Settings = typeof settings
export type SettingName = keyof Settings

type NamesIn<S extends Scope> = {
  [K in SettingName]: S extends keyof Settings[K]['in'] ? K : never
}[SettingName]
type HasDefault<K extends SettingName, S extends Scope> = Settings[K]['in'] extends {
  readonly [P in S]: { readonly default: unknown }
}
  ? true
  : false

/** The settings of one section as a Config holds them: every key is there, undefined without a default. */
export type SettingsOf<S extends Scope> = {
  readonly [K in NamesIn<S>]: HasDefault<K, S> extends true
    ? HeldValue<Settings[K]>
    : HeldValue<Settings[K]> | undefined
}

/** The settings of one section as they may be written. */
export type WrittenSettings<S extends Scope> = {
  readonly [K in NamesIn<S>]?: WrittenValue<Settings[K]> | undefined
}
