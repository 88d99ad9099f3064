import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW WAITERS: who waits for a server, longest first. Not in PgBouncer. */
export const showWaiters: ShowCommand = {
  name: 'WAITERS',
  access: 'stats',
  columns: columnsOf('database s, user s, addr s, application_name s, wait_ms q, id i'),
  rows({ multiplexer }) {
    const nowMs = Date.now()
    return [...multiplexer.sessions]
      .filter(({ waiting }) => waiting)
      .sort((one, other) => one.requestSinceMs - other.requestSinceMs)
      .map(({ client, pool, requestSinceMs }): Value[] => [
        pool.database,
        client.user,
        client.wire.peer,
        client.parameters.get('application_name') ?? '',
        nowMs - requestSinceMs,
        client.id,
      ])
  },
}
