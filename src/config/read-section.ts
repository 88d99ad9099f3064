/**
 * readSection: one table of a configuration ([pooler], one of [databases.NAME], one of [users.NAME]) -> its
 * settings, every key present and checked. Called by config.ts. All wording about wrong keys and values is
 * here, and the rule that the value of a secret setting, or of a key nobody knows, is never repeated.
 */
import assert from 'node:assert'
import { nearestName } from './nearest-name.ts'
import { pgbouncerSettingsNotHere } from './pgbouncer-settings.ts'
import type { SettingValue } from './read-value.ts'
import { readValue } from './read-value.ts'
import type { Scope, Setting } from './setting.ts'
import type { SettingsOf } from './settings.ts'
import { settings } from './settings.ts'

/** Notes one problem: the path of the key and a message. */
export type Report = (path: readonly string[], message: string) => void

const ShownCharacters = 60

/** How each kind of section is written. */
export const sectionHeader = {
  pooler: '[pooler]',
  database: '[databases.NAME]',
  user: '[users.NAME]',
} as const satisfies Record<Scope, string>

/**
 * Reads the settings of one section, frozen. Problems go to `report` in the order in which the keys were
 * written; the settings concerned then hold their defaults, so that reading can go on.
 */
export function readSection<S extends Scope>(
  scope: S,
  path: readonly string[],
  written: object,
  folder: string,
  report: Report,
): SettingsOf<S> {
  const held = defaultsOf(scope, folder)
  for (const [key, value] of Object.entries(written)) {
    if (value === undefined) continue
    const setting = settingIn(scope, key)
    if (setting === undefined) {
      report([...path, key], unknownKey(scope, path, key, value))
      continue
    }
    const result = readValue(setting, value, folder)
    if ('value' in result) held[key] = result.value
    else if (setting.secret === true) report([...path, key], `expected ${result.expected}`)
    else report([...path, key], `expected ${result.expected}, got ${describeValue(value)}`)
  }
  // The table and SettingsOf are two views of the same rows: the loop above filled exactly its keys.
  return Object.freeze(held) as SettingsOf<S>
}

/** True for a table of TOML or a plain object, false for lists, dates and single values. */
export function isTable(value: unknown): value is object {
  return Object.prototype.toString.call(value) === '[object Object]'
}

function defaultsOf(scope: Scope, folder: string): Record<string, SettingValue | undefined> {
  const held: Record<string, SettingValue | undefined> = {}
  for (const [name, setting] of settingsIn(scope)) {
    const written = setting.in[scope]?.default
    if (written === undefined) {
      held[name] = undefined
      continue
    }
    const result = readValue(setting, written, folder)
    assert('value' in result, `the default of ${name} is not one of its values`)
    held[name] = result.value
  }
  return held
}

/** The rows of the table that a section may carry, in the table's order. */
export function settingsIn(scope: Scope): readonly (readonly [name: string, setting: Setting])[] {
  const rows: readonly (readonly [string, Setting])[] = Object.entries(settings)
  return rows.filter(([, setting]) => setting.in[scope] !== undefined)
}

/** The row of a name, if a section may carry it. */
export function settingIn(scope: Scope, key: string): Setting | undefined {
  return settingsIn(scope).find(([name]) => name === key)?.[1]
}

/** The sections that may carry a setting of this name, as an operator writes them. */
export function sectionsWith(name: string): string {
  const scopes: readonly Scope[] = ['pooler', 'database', 'user']
  return scopes
    .filter((scope) => settingIn(scope, name) !== undefined)
    .map((scope) => sectionHeader[scope])
    .join(' or ')
}

function unknownKey(scope: Scope, path: readonly string[], key: string, value: unknown): string {
  const elsewhere = sectionsWith(key)
  if (elsewhere !== '') return `not a setting of ${sectionHeader[scope]}; it belongs to ${elsewhere}`
  if (pgbouncerSettingsNotHere.has(key)) {
    return 'unknown setting: PgBouncer has it, this version of pooler does not; remove the line'
  }
  const near = nearestName(
    key,
    settingsIn(scope).map(([name]) => name),
  )
  if (near !== undefined) return `unknown setting; did you mean "${near}"?`
  const [section, name] = path
  if (isTable(value) && section !== undefined && name !== undefined) {
    return `unknown section; a name with a dot needs quotes: [${section}.${JSON.stringify(`${name}.${key}`)}]`
  }
  return `unknown setting; pooler.toml.example lists those of ${sectionHeader[scope]}`
}

/** What was written, short enough for one line; never more than its kind where a password may hide in it. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    if (/:\/\/|passw/i.test(value)) return 'a connection string'
    const shown = value.length > ShownCharacters ? `${value.slice(0, ShownCharacters)}...` : value
    return JSON.stringify(shown)
  }
  if (['number', 'bigint', 'boolean'].includes(typeof value)) return String(value)
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  return isTable(value) ? 'a table' : `a ${typeof value}`
}
