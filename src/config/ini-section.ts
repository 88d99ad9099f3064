/**
 * IniSection: the settings of [pgbouncer], or of one entry of [databases] or [users], while an .ini is read: checked
 * for what only PgBouncer's dialect knows, with the place where each was written. Made by ini-input.ts.
 */
import { keyPath } from './config.ts'
import type { ConfigProblem } from './config-error.ts'
import type { NumberForm } from './ini-value.ts'
import { iniValue, isDefault } from './ini-value.ts'
import { nearestName } from './nearest-name.ts'
import { otherWords, pgbouncerAliases, pgbouncerSettings, refusedValues } from './pgbouncer-settings.ts'
import { describeValue, settingIn, settingsIn } from './read-section.ts'
import type { Scope } from './setting.ts'

type Value = string | number | boolean

/** One setting that has no effect here, with the reason. */
export interface IniNotice {
  /** File and line. */
  readonly place: string
  /** A sentence without file and line. */
  readonly text: string
}

/** Where problems and notices are collected. */
export interface IniReport {
  readonly problems: ConfigProblem[]
  readonly notices: IniNotice[]
}

interface Held {
  /** undefined: written, but as nothing. */
  readonly value: Value | undefined
  readonly place: string
  /** False for a default of PgBouncer's. */
  readonly written: boolean
}

export class IniSection {
  readonly #scope: Scope
  /** What it is called in the file. */
  readonly #path: readonly string[]
  readonly #place: string
  readonly #report: IniReport
  readonly #held = new Map<string, Held>()
  /** Problems of settings that the pooler does not have, by their names. */
  readonly #refusals = new Map<string, ConfigProblem>()

  constructor(scope: Scope, path: readonly string[], place: string, report: IniReport) {
    this.#scope = scope
    this.#path = path
    this.#place = place
    this.#report = report
  }

  /** As config.ts takes it. */
  get input(): { readonly [name: string]: Value } {
    return Object.fromEntries(this.entries.map(([name, { value }]) => [name, value]))
  }

  /** What holds, in the order of the file, PgBouncer's defaults last. */
  get entries(): readonly (readonly [name: string, held: { value: Value; written: boolean }])[] {
    return [...this.#held].flatMap(([name, { value, written }]) =>
      value === undefined ? [] : [[name, { value, written }] as const],
    )
  }

  get(name: string): Value | undefined {
    return this.#held.get(name)?.value
  }

  /** Where a key was written and what it is called there. */
  locate(name: string | undefined): Pick<ConfigProblem, 'file' | 'key'> {
    const place = name === undefined ? undefined : this.#held.get(name)?.place
    return {
      file: place ?? this.#place,
      key: keyPath(name === undefined ? this.#path : [...this.#path, name]),
    }
  }

  /** Takes one written setting. */
  set(key: string, text: string, place: string, form: NumberForm): void {
    const name = pgbouncerAliases[key] ?? key
    const problem = (message: string): void => {
      this.#report.problems.push({ file: place, key: keyPath([...this.#path, key]), message })
    }
    const setting = settingIn(this.#scope, name)
    if (setting === undefined) {
      this.#setForeign(key, text, place, problem)
      return
    }
    const word = otherWords[name]?.[text.toLowerCase()]
    if (word === 'secure' && text.toLowerCase() !== 'default')
      this.#notice(place, key, `${describeValue(text)} is TLS 1.2 and 1.3: ${OLD_TLS}`)
    const result = iniValue(setting, word ?? text, form)
    const refused = refusedValues[name]?.[text.toLowerCase()]
    if (refused !== undefined) problem(`${describeValue(text)} is not possible: ${refused}`)
    else if (name === 'unix_socket_dir' && text.startsWith('@')) problem(ABSTRACT)
    else if ('value' in result) this.#held.set(name, { value: result.value, place, written: true })
    else problem(`expected ${result.expected}${setting.secret ? '' : `, got ${describeValue(text)}`}`)
  }

  /** What holds where nothing is written. */
  fill(name: string, value: Value): void {
    if (!this.#held.has(name)) this.#held.set(name, { value, place: this.#place, written: false })
  }

  /** Leaves a setting out that does nothing beside the others. */
  drop(name: string, because: string): void {
    const held = this.#held.get(name)
    if (held?.value === undefined) return
    this.#held.delete(name)
    if (held.written) this.#notice(held.place, name, `has no effect: ${because}`)
  }

  /** A setting that was refused does no harm beside the others. */
  excuse(name: string, because: string): void {
    const refusal = this.#refusals.get(name)
    if (refusal === undefined) return
    this.#report.problems.splice(this.#report.problems.indexOf(refusal), 1)
    this.#notice(refusal.file, name, `has no effect: ${because}`)
  }

  problem(name: string, message: string): void {
    this.#report.problems.push({ ...this.locate(name), message })
  }

  /** A setting that the pooler does not have. */
  #setForeign(key: string, text: string, place: string, problem: (message: string) => void): void {
    const foreign = pgbouncerSettings[key]
    if (foreign === undefined || foreign.in !== this.#scope) {
      problem(this.#unknown(key))
      return
    }
    const usual = isDefault(foreign, text)
    if (usual === undefined) {
      problem(
        `expected ${foreign.type === 'time' ? 'a number of seconds' : 'an integer'}, got ${describeValue(text)}`,
      )
    } else if (foreign.refused !== true) {
      this.#notice(place, key, `has no effect: ${foreign.why}`)
    } else if (!usual) {
      problem(`expected ${foreign.default === '' ? 'nothing' : foreign.default}: ${foreign.why}`)
      const [refusal] = this.#report.problems.slice(-1)
      if (refusal !== undefined) this.#refusals.set(key, refusal)
    }
  }

  #notice(place: string, key: string, what: string): void {
    this.#report.notices.push({
      place,
      text: `${keyPath([...(this.#scope === 'pooler' ? [] : this.#path), key])} ${what}`,
    })
  }

  #unknown(key: string): string {
    const own = settingsIn(this.#scope).map(([name]) => name)
    const foreign = Object.entries(pgbouncerSettings).flatMap(([name, row]) =>
      row.in === this.#scope ? [name] : [],
    )
    const elsewhere = (['database', 'user'] as const).filter((scope) => settingIn(scope, key) !== undefined)
    if (this.#scope === 'pooler' && elsewhere.length > 0)
      return `not a setting of [pgbouncer]; it belongs to an entry of ${elsewhere.map((scope) => `[${scope}s]`).join(' or ')}`
    if (settingIn('pooler', key) !== undefined || pgbouncerSettings[key]?.in === 'pooler')
      return `not a setting of [${this.#path[0]}]; it belongs to [pgbouncer]`
    const near = nearestName(key, [...own, ...foreign])
    if (near !== undefined) return `unknown setting; did you mean "${near}"?`
    return `unknown setting of [${this.#path[0]}]; neither PgBouncer 1.25 nor pooler has it there`
  }
}

const OLD_TLS = 'older versions are forbidden by RFC 8996 and not offered'
const ABSTRACT =
  'abstract sockets are not possible here; name a folder, or leave the value empty for no unix socket'
