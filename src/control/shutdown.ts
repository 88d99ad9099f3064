import { PoolerError, SqlState } from '../errors.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { ShutdownMode } from './pooler-control.ts'

/**
 * Lets the clients of a pooler come to their end, up to `timeoutMs` (shutdown_timeout, 0 = for ever): with
 * wait_for_servers each is disconnected as soon as it is in no transaction, with wait_for_clients they are served
 * for the first half of the time. Nobody new is let in. Resolves when no client is left, when the time is over, or
 * when `hurry` aborts.
 */
export async function drainClients(
  multiplexer: Multiplexer,
  mode: Exclude<ShutdownMode, 'immediate'>,
  timeoutMs: number,
  hurry: AbortSignal,
): Promise<void> {
  multiplexer.close(new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down'))
  const empty = multiplexer.untilEmpty()
  const ended = new Promise<void>((resolve) => {
    if (hurry.aborted) resolve()
    else hurry.addEventListener('abort', () => resolve(), { once: true })
  })
  const within = async (ms: number): Promise<void> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      if (timeoutMs > 0) timer = setTimeout(resolve, ms)
    })
    await Promise.race([empty, ended, late])
    clearTimeout(timer)
  }
  if (mode === 'wait_for_clients') await within(timeoutMs / 2)
  if (multiplexer.clientCount === 0 || hurry.aborted) return
  multiplexer.drain(new PoolerError(SqlState.AdminShutdown, 'server shutting down'))
  await within(mode === 'wait_for_clients' ? timeoutMs / 2 : timeoutMs)
}
