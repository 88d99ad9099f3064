import { SqlState } from '../errors.ts'
import type { AdminContext } from './admin-context.ts'
import type { Outcome } from './command.ts'
import { consoleError } from './parse-command.ts'

/** SET key = value: until the next RELOAD. Rejects with PgBouncer's error, and the reason as its cause. */
export async function setSetting(
  { control, log }: AdminContext,
  key: string,
  value: string,
): Promise<Outcome> {
  try {
    await control.set(key, value)
  } catch (error) {
    log.warn({ err: error, setting: key }, 'SET failed')
    throw consoleError('SET failed', SqlState.InvalidParameterValue)
  }
  return { tag: `SET ${key}=${value}` }
}
