/**
 * Setting: the shape of one row of the table in settings.ts, and the types that follow from a row: what an
 * operator may write and what a Config holds. Types only; reading a written value is read-value.ts.
 */

/** The section that carries a setting: [pooler], [databases.NAME] or [users.NAME]. */
export type Scope = 'pooler' | 'database' | 'user'

/** What a setting means in one section. */
export interface SettingUse {
  /** Lines for the operator: meaning, what 0 means, where PostgreSQL or PgBouncer comes in. */
  readonly doc: readonly string[]
  /** As an operator would write it. Without one the Config holds `undefined` where nothing is written. */
  readonly default?: string | number | boolean
  /** What holds where nothing is written, for settings without a default: a phrase for the example file. */
  readonly otherwise?: string
  /** A value for the example file, for settings without a default. */
  readonly example?: string | number | boolean
  /** True where a reload cannot change it in this section, although it can in others. */
  readonly fixed?: true
}

interface SettingBase {
  /** True where a reload may change it in a running pooler; see also `fixed`. */
  readonly reloadable: boolean
  /** True where no message and no log may show the value. */
  readonly secret?: boolean
  readonly in: { readonly [S in Scope]?: SettingUse }
}

interface StringSetting extends SettingBase {
  readonly type: 'string'
  readonly emptyAllowed?: boolean
  /** A value must match, and `expected` says in words what that is. */
  readonly pattern?: RegExp
  readonly expected?: string
}

interface IntegerSetting extends SettingBase {
  readonly type: 'integer'
  /** What is counted, for the example file. */
  readonly unit?: string
  readonly min: number
  /** Inclusive; 2147483647 where it is not given. */
  readonly max?: number
  /** Allows 0 below `min`, and says in one word what it means. */
  readonly zero?: string
  /** A word that may stand in place of a number. */
  readonly word?: string
}

interface BooleanSetting extends SettingBase {
  readonly type: 'boolean'
}

/** Written as a number of seconds or with a unit, held in milliseconds. */
interface TimeSetting extends SettingBase {
  readonly type: 'time'
  /** In milliseconds, inclusive. */
  readonly max: number
}

interface EnumSetting extends SettingBase {
  readonly type: 'enum'
  readonly values: readonly string[]
}

/** Written as a comma list in one string or as an array of strings. */
interface ListSetting extends SettingBase {
  readonly type: 'list'
  readonly emptyAllowed?: boolean
  /** Every item must match, and `expected` says in words what an item is. */
  readonly pattern: RegExp
  readonly expected: string
  /** An item that must stand alone, because it covers all others. */
  readonly soleItem?: string
  /** True where an item that is written twice is a mistake; elsewhere once is enough. */
  readonly distinct?: boolean
  readonly maxItems?: number
}

/** A file; a relative path starts at the folder of the configuration file. */
interface PathSetting extends SettingBase {
  readonly type: 'path'
}

/** Permissions of a file, written in octal: "0770", or 0o770 as TOML has it. */
interface ModeSetting extends SettingBase {
  readonly type: 'mode'
}

export type Setting =
  | StringSetting
  | IntegerSetting
  | BooleanSetting
  | TimeSetting
  | EnumSetting
  | ListSetting
  | PathSetting
  | ModeSetting

/** What a Config holds for a setting: times in milliseconds, paths absolute, lists frozen. */
export type HeldValue<S> = S extends { readonly type: 'enum'; readonly values: readonly (infer V)[] }
  ? V
  : S extends { readonly type: 'integer' | 'time' | 'mode' }
    ? number | (S extends { readonly word: infer W } ? W : never)
    : S extends { readonly type: 'boolean' }
      ? boolean
      : S extends { readonly type: 'list' }
        ? readonly string[]
        : string

/** What an operator may write for a setting. */
export type WrittenValue<S> = S extends { readonly type: 'time' | 'mode' }
  ? number | string
  : S extends { readonly type: 'list' }
    ? string | readonly string[]
    : HeldValue<S>
