import { PoolerError, SqlState } from '../errors.ts'
import { checkAutoSize } from './check-auto-size.ts'
import { type Config, keyPath } from './config.ts'
import { settingsIn } from './read-section.ts'
import { readValue } from './read-value.ts'
import { isReloadable } from './reload.ts'

/**
 * The configuration with another value for one setting of [pooler], as the console's SET writes it: all values are texts.
 * Throws PoolerError 22023 for an unknown setting, one that needs a restart, or a value that it does not take or that
 * does not fit the others.
 */
export function withSetting(config: Config, name: string, text: string): Config {
  const setting = settingsIn('pooler').find(([known]) => known === name)?.[1]
  if (setting === undefined) throw refused(`unknown setting "${name}"`)
  if (!isReloadable(setting, 'pooler')) throw refused(`${name} takes effect after a restart only`)
  const result = readValue(setting, written(setting.type, text), process.cwd())
  if (!('value' in result)) throw refused(`${name}: expected ${result.expected}`)
  const pooler = Object.freeze({ ...config.pooler, [name]: result.value })
  const changed = Object.freeze({ ...config, pooler })
  checkAutoSize(changed, (path, message) => {
    throw refused(`${keyPath(path)}: ${message}`)
  })
  return changed
}

/** PgBouncer's booleans are numbers. */
function written(type: string, text: string): unknown {
  if (type === 'boolean')
    return text === '1' || /^(true|on|yes)$/i.test(text)
      ? true
      : /^(0|false|off|no)$/i.test(text)
        ? false
        : text
  const isNumber = /^-?\d+(\.\d+)?$/.test(text)
  return isNumber && (type === 'integer' || type === 'time') ? Number(text) : text
}

function refused(message: string): PoolerError {
  return new PoolerError(SqlState.InvalidParameterValue, message, { severity: 'ERROR' })
}
