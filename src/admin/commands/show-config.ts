import { settingsIn } from '../../config/read-section.ts'
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
    const values = config().pooler as unknown as Record<string, unknown>
    return settingsIn('pooler')
      .map(([name, setting]): Value[] => [
        name,
        shown(setting, values[name]),
        String(setting.in.pooler?.default ?? ''),
        setting.reloadable ? 'yes' : 'no',
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
