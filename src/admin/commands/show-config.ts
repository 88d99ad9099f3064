import { settingsIn } from '../../config/read-section.ts'
import { isReloadable } from '../../config/reload.ts'
import type { Setting } from '../../config/setting.ts'
import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW CONFIG: the settings of [pooler] in alphabetical order; times in seconds, as PgBouncer shows them. */
export const showConfig: ShowCommand = {
  name: 'CONFIG',
  access: 'stats',
  columns: columnsOf('key s, value s, default s, changeable s'),
  rows({ config }) {
    const { pooler, defaults } = config()
    const held = (settings: object, name: string) => (settings as Record<string, unknown>)[name]
    return settingsIn('pooler')
      .map(([name, setting]): Value[] => [
        name,
        shown(setting, held(pooler, name)),
        shown(setting, held(defaults, name)),
        isReloadable(setting, 'pooler') ? 'yes' : 'no',
      ])
      .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1))
  },
}

function shown(setting: Setting, value: unknown): string {
  if (value === undefined) return ''
  if (setting.secret === true) return '****'
  if (setting.type === 'time') return String(Number(value) / 1000)
  return Array.isArray(value) ? value.join(',') : String(value)
}
