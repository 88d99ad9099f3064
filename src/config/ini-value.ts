/**
 * iniValue: the text of a value in a pgbouncer.ini -> the value as a pooler.toml would have it, which read-value.ts
 * then checks. Called by ini-input.ts. Numbers are read as C reads them: PgBouncer uses strtol with base 0 for its own
 * section, atoi for the pairs of the others.
 */
import type { PgbouncerSetting } from './pgbouncer-settings.ts'
import type { Setting } from './setting.ts'

/** `value` undefined: as if nothing were written. `expected` completes "expected ...". */
export type IniValue =
  | { readonly value: string | number | boolean | undefined }
  | { readonly expected: string }

/** Which of C's two ways a number is read. */
export type NumberForm = 'base 0' | 'decimal'

const BASE_0 = /^[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/
const DECIMAL = /^[+-]?\d+$/
const SECONDS = /^\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

export function iniValue(setting: Setting, text: string, form: NumberForm): IniValue {
  switch (setting.type) {
    case 'integer':
      if (text === setting.word) return { value: text }
      // In a pair, what PgBouncer itself has for "not set".
      return form === 'decimal' && text === '-1' ? { value: undefined } : integer(text, form, setting.word)
    case 'mode':
      return integer(text, form)
    case 'boolean': {
      const number = integer(text, form)
      return 'value' in number ? { value: number.value !== 0 } : { expected: '0 or 1' }
    }
    case 'time':
      return seconds(text)
    case 'enum':
      return { value: text.toLowerCase() }
    case 'path':
      return { value: text === '' ? undefined : text }
    case 'list':
      // PgBouncer passes over empty items, but for those of `host`.
      return { value: setting.distinct === true ? text : withoutEmptyItems(text) }
    case 'string':
      return { value: text === '' && setting.emptyAllowed !== true ? undefined : text }
  }
}

function withoutEmptyItems(text: string): string {
  return text
    .split(',')
    .filter((item) => item.trim() !== '')
    .join(',')
}

/** True if the value of a setting that has no effect here is PgBouncer's default; undefined if it is none at all. */
export function isDefault({ type, default: usual }: PgbouncerSetting, text: string): boolean | undefined {
  if (type === 'text') return text === usual
  const read = (written: string): IniValue =>
    type === 'time' ? seconds(written) : integer(written, 'base 0')
  const value = read(text)
  const other = read(usual)
  return 'value' in value && 'value' in other ? value.value === other.value : undefined
}

function integer(text: string, form: NumberForm, word?: string): { value: number } | { expected: string } {
  const orWord = word === undefined ? '' : `, or "${word}"`
  if (form === 'decimal')
    return DECIMAL.test(text) ? { value: Number(text) } : { expected: `an integer${orWord}` }
  if (!BASE_0.test(text)) return { expected: 'an integer (in octal if it begins with 0)' }
  const digits = text.replace(/^[+-]/, '')
  const octal = /^0[0-7]+$/.test(digits)
  const value = octal ? Number.parseInt(digits, 8) : Number(digits)
  return { value: text.startsWith('-') ? -value : value }
}

function seconds(text: string): { value: number } | { expected: string } {
  return SECONDS.test(text) ? { value: Number(text) } : { expected: 'a number of seconds without a unit' }
}
