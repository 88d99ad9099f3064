import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW USERS: those of [users] and those who are there, with their limits. */
export const showUsers: ShowCommand = {
  name: 'USERS',
  access: 'stats',
  columns: columnsOf(
    `name s, pool_size s, reserve_pool_size s, pool_mode s, max_user_connections i, current_connections i,
     max_user_client_connections i, current_client_connections i`,
  ),
  rows({ config, pools, multiplexer }) {
    const { users, pooler } = config()
    const servers = countBy(
      [...pools],
      ({ user }) => user,
      ({ size }) => size,
    )
    const clients = countBy(
      multiplexer.clients,
      ({ client }) => client.user,
      () => 1,
    )
    const names = new Set([...users.keys(), ...servers.keys(), ...clients.keys()])
    return [...names].sort().map((name): Value[] => {
      const own = users.get(name)
      return [
        name,
        own?.pool_size === undefined ? '' : String(own.pool_size).padStart(9),
        own?.reserve_pool_size === undefined ? '' : String(own.reserve_pool_size).padStart(9),
        own?.pool_mode ?? null,
        own?.max_user_connections ?? pooler.max_user_connections,
        servers.get(name) ?? 0,
        own?.max_user_client_connections ?? pooler.max_user_client_connections,
        clients.get(name) ?? 0,
      ]
    })
  },
}

function countBy<T>(
  items: readonly T[],
  key: (item: T) => string,
  count: (item: T) => number,
): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + count(item))
  return counts
}
