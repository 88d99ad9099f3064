/**
 * readValue: one written value and its setting -> the value that a Config holds, or what would have been
 * right. Called by read-section.ts for what an operator wrote and for the defaults of the table.
 */
import { resolve } from 'node:path'
import type { Setting } from './setting.ts'

export type SettingValue = string | number | boolean | readonly string[]

/** Either the value to hold, or a phrase that completes "expected ...". */
export type ReadResult = { readonly value: SettingValue } | { readonly expected: string }

const MillisecondsPerUnit: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const DefaultMaxInteger = 2_147_483_647

/**
 * Reads a value as TOML or a plain object has it. Integers may be bigints (the TOML loader asks for them, so
 * that no digit is lost before the range is checked). `folder` is where relative paths start.
 */
export function readValue(setting: Setting, written: unknown, folder: string): ReadResult {
  switch (setting.type) {
    case 'string':
      return readString(setting, written)
    case 'integer':
      return readInteger(setting, written)
    case 'boolean':
      return typeof written === 'boolean' ? { value: written } : { expected: 'true or false' }
    case 'time':
      return readTime(setting, written)
    case 'enum':
      return typeof written === 'string' && setting.values.includes(written)
        ? { value: written }
        : { expected: `one of ${setting.values.map((value) => `"${value}"`).join(', ')}` }
    case 'list':
      return readList(setting, written)
    case 'path':
      return isText(written) && written !== ''
        ? { value: resolve(folder, written) }
        : { expected: 'the path of a file' }
    case 'mode':
      return readMode(written)
  }
}

/** A string that the wire protocol can carry: its strings end at the first zero byte. */
function isText(written: unknown): written is string {
  return typeof written === 'string' && !written.includes('\0')
}

function readString(setting: Setting & { type: 'string' }, written: unknown): ReadResult {
  const carried = isText(written) && (written !== '' || setting.emptyAllowed === true)
  if (carried && (setting.pattern?.test(written) ?? true)) return { value: written }
  const empty = setting.emptyAllowed === true ? '' : ' that is not empty'
  return { expected: setting.expected ?? `a string${empty}, without zero bytes` }
}

function readInteger(setting: Setting & { type: 'integer' }, written: unknown): ReadResult {
  if (typeof written === 'string' && written === setting.word) return { value: written }
  const value = typeof written === 'bigint' ? Number(written) : written
  const max = setting.max ?? DefaultMaxInteger
  if (typeof value === 'number' && Number.isInteger(value)) {
    if (value >= setting.min && value <= max) return { value }
    // `+ 0` makes the -0 of a float a plain 0.
    if (value === 0 && setting.zero !== undefined) return { value: value + 0 }
  }
  const tooBig = typeof value === 'number' && value > max
  const range =
    setting.max === undefined && !tooBig ? `of at least ${setting.min}` : `from ${setting.min} to ${max}`
  const zero = setting.zero === undefined ? '' : `, or 0 (${setting.zero})`
  const word = setting.word === undefined ? '' : `, or "${setting.word}"`
  return { expected: `an integer ${range}${zero}${word}` }
}

function readTime(setting: Setting & { type: 'time' }, written: unknown): ReadResult {
  const ms = milliseconds(written)
  if (ms === undefined) {
    return { expected: 'a time: a number of seconds or a string such as "500ms", "30s", "5min", "1h", "1d"' }
  }
  if (ms > setting.max) return { expected: `a time of at most ${Math.floor(setting.max / 86_400_000)} days` }
  // Rounding a tiny time to 0 would turn a limit off.
  if (ms > 0 && ms < 1) return { expected: 'a time of at least one millisecond, or 0' }
  return { value: Math.round(ms) + 0 }
}

function milliseconds(written: unknown): number | undefined {
  if (typeof written === 'bigint') return milliseconds(Number(written))
  if (typeof written === 'number') {
    return written >= 0 && Number.isFinite(written) ? written * 1000 : undefined
  }
  if (typeof written !== 'string') return undefined
  const match = /^(\d{1,15}(?:\.\d{1,15})?) ?(ms|s|min|h|d)$/.exec(written)
  const factor = MillisecondsPerUnit[match?.[2] ?? '']
  return factor === undefined ? undefined : Number(match?.[1]) * factor
}

function readMode(written: unknown): ReadResult {
  const isOctal = typeof written === 'string' && /^(?:0o?)?[0-7]{3}$/.test(written)
  const mode = isOctal ? Number.parseInt(written.replace('o', ''), 8) : Number(written)
  const isNumber = typeof written === 'number' || typeof written === 'bigint'
  if ((isOctal || isNumber) && Number.isInteger(mode) && mode >= 0 && mode <= 0o777) return { value: mode }
  return { expected: 'permissions in octal, such as "0770" or 0o770' }
}

function readList(setting: Setting & { type: 'list' }, written: unknown): ReadResult {
  const expected = `a list of ${setting.expected}`
  const parts = typeof written === 'string' ? splitList(written) : written
  if (!Array.isArray(parts)) return { expected }
  const items = new Set<string>()
  for (const part of parts) {
    if (part === '') return { expected: `${expected}, none of them empty` }
    if (typeof part !== 'string' || !setting.pattern.test(part)) return { expected }
    if (setting.distinct === true && items.has(part))
      return { expected: `each item once (${JSON.stringify(part)} is there twice)` }
    items.add(part)
  }
  if (setting.maxItems !== undefined && items.size > setting.maxItems)
    return { expected: `at most ${setting.maxItems} items (these are ${items.size})` }
  if (items.size === 0 && setting.emptyAllowed !== true) return { expected }
  if (setting.soleItem !== undefined && items.size > 1 && items.has(setting.soleItem)) return { expected }
  return { value: Object.freeze([...items]) }
}

function splitList(written: string): string[] {
  return written.trim() === '' ? [] : written.split(',').map((item) => item.trim())
}
