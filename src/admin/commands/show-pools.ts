import type { Session } from '../../multiplexer/session.ts'
import type { ServerPool } from '../../pool/server-pool.ts'
import type { Value } from '../../protocol/result-set.ts'
import { ServerState } from '../../server/server-state.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW POOLS: how many clients and servers of each pool do what, and for how long its first waiter has waited. */
export const showPools: ShowCommand = {
  name: 'POOLS',
  access: 'stats',
  columns: columnsOf(
    `database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active i,
     sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, sv_login i, maxwait i,
     maxwait_us i, pool_mode s, load_balance_hosts s`,
  ),
  rows({ pools, multiplexer, consoles }) {
    const sessions = new Map<ServerPool, Session[]>()
    for (const session of multiplexer.sessions) {
      const known = sessions.get(session.pool)
      if (known === undefined) sessions.set(session.pool, [session])
      else known.push(session)
    }
    const rows = [...pools].map((pool) => rowOf(pool, sessions.get(pool) ?? []))
    const clients = [...consoles].length
    return [
      ...rows,
      ['pgbouncer', 'pgbouncer', clients, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'statement', null],
    ]
  },
}

function rowOf(pool: ServerPool, sessions: readonly Session[]): Value[] {
  const { checkDelayMs, checkQuery, mode } = pool.policy
  const nowMs = Date.now()
  let idle = 0
  let used = 0
  let beingCanceled = 0
  let canceling = 0
  for (const { state, idleSinceMs, cancelsInFlight } of pool.supply.servers) {
    canceling += cancelsInFlight
    if (state === ServerState.BeingCanceled) beingCanceled += 1
    else if (state === ServerState.Idle) {
      if (checkQuery !== undefined && nowMs - idleSinceMs >= checkDelayMs) used += 1
      else idle += 1
    }
  }
  const waiting = sessions.filter((session) => session.waiting)
  const longest = waiting.reduce((most, { requestSinceMs }) => Math.max(most, nowMs - requestSinceMs), 0)
  return [
    pool.database,
    pool.user,
    pool.clients.count - waiting.length,
    waiting.length,
    canceling,
    0,
    pool.activeCount,
    canceling,
    beingCanceled,
    idle,
    used,
    pool.tested,
    pool.supply.opening,
    Math.floor(longest / 1000),
    Math.floor(longest % 1000) * 1000,
    mode,
    null,
  ]
}
