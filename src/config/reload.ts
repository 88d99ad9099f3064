/**
 * What differs between the Config of a running pooler and the one that was just read, and what of it can be put into
 * effect. Called by Pooler.reload().
 */
import type { Config, DatabaseConfig } from './config.ts'
import { settingsIn } from './read-section.ts'
import { serverParameterNames } from './server-parameters.ts'
import type { Scope, Setting } from './setting.ts'

/** What became of a reload, as key paths ("pooler.max_client_conn", "databases.app"); values may be secrets. */
export interface ReloadReport {
  /** Changed, and in effect. */
  readonly changed: readonly string[]
  /** Changed in the file, but in effect only after a restart. */
  readonly kept: readonly string[]
}

/** The settings of a database that say which server session a client gets: another value needs other connections. */
const SESSION_SETTINGS: readonly (keyof DatabaseConfig)[] = [
  'port',
  'dbname',
  'user',
  ...serverParameterNames,
]

/** True if a section of a running pooler can get another value of this setting. */
export function isReloadable(setting: Setting, scope: Scope): boolean {
  return setting.reloadable && setting.in[scope]?.fixed !== true
}

/** The Config to go on with: the new one, with the old values of what cannot change in a running pooler. */
export function mergeForReload(before: Config, after: Config): { config: Config; report: ReloadReport } {
  const kept = settingsIn('pooler').flatMap(([name, setting]) => {
    const key = name as keyof Config['pooler']
    return isReloadable(setting, 'pooler') || same(before.pooler[key], after.pooler[key]) ? [] : [key]
  })
  const config = Object.freeze({
    ...after,
    pooler: Object.freeze({
      ...after.pooler,
      ...Object.fromEntries(kept.map((key) => [key, before.pooler[key]])),
    }),
  }) as Config
  const changed = [
    ...changedKeys('pooler', before.pooler, config.pooler).map((key) => `pooler.${key}`),
    ...changedSections('database', 'databases', sections(before), sections(config)),
    ...changedSections('user', 'users', before.users, config.users),
  ]
  return { config, report: { changed, kept: kept.map((key) => `pooler.${key}`) } }
}

/**
 * True if connections that were opened for `before` are not those that `after` asks for. Where some host is in both lists
 * the connections to it are; which ones are not, a HostList knows.
 */
export function needsOtherServers(before: DatabaseConfig, after: DatabaseConfig): boolean {
  if (!after.host.some((host) => before.host.includes(host))) return true
  return SESSION_SETTINGS.some((key) => !same(before[key], after[key]))
}

function changedSections(
  scope: Scope,
  name: string,
  before: ReadonlyMap<string, object>,
  after: ReadonlyMap<string, object>,
): string[] {
  const names = new Set([...before.keys(), ...after.keys()])
  return [...names].flatMap((section) => {
    const path = `${name}.${/^[\w-]+$/.test(section) ? section : JSON.stringify(section)}`
    const one = before.get(section)
    const other = after.get(section)
    if (one === undefined || other === undefined) return [path]
    return changedKeys(scope, one, other).map((key) => `${path}.${key}`)
  })
}

function changedKeys(scope: Scope, before: object, after: object): string[] {
  const one = before as Record<string, unknown>
  const other = after as Record<string, unknown>
  return settingsIn(scope).flatMap(([name]) => (same(one[name], other[name]) ? [] : [name]))
}

function sections({ databases, fallbackDatabase }: Config): ReadonlyMap<string, object> {
  return fallbackDatabase === undefined ? databases : new Map([...databases, ['*', fallbackDatabase]])
}

/** Settings hold single values or lists of them. */
function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
