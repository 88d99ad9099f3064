import { type PoolCounts, poolCounts } from '../../metrics/pool-counts.ts'
import type { ServerPool } from '../../pool/server-pool.ts'
import type { Value } from '../../protocol/result-set.ts'
import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/**
 * SHOW POOLS: how many clients and servers of each pool do what, and for how long its first waiter has waited. Behind
 * PgBouncer's columns: how many servers may be in use at once (0 = unlimited), and why, with `pool_size = "auto"`.
 */
export const showPools: ShowCommand = {
  name: 'POOLS',
  access: 'stats',
  columns: columnsOf(
    `database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active i,
     sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, sv_login i, maxwait i,
     maxwait_us i, pool_mode s, load_balance_hosts s, concurrency i, concurrency_note s`,
  ),
  rows({ pools, multiplexer, consoles }) {
    const rows = poolCounts(pools, multiplexer, Date.now()).map(([pool, counts]) => rowOf(pool, counts))
    const clients = [...consoles].length
    return [
      ...rows,
      ['pgbouncer', 'pgbouncer', clients, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'statement', null, 2, null],
    ]
  },
}

function rowOf(pool: ServerPool, counts: PoolCounts): Value[] {
  return [
    pool.database,
    pool.user,
    counts.clientsActive,
    counts.clientsWaiting,
    counts.cancels,
    0,
    counts.serversActive,
    counts.cancels,
    counts.serversBeingCanceled,
    counts.serversIdle,
    counts.serversUsed,
    counts.serversTested,
    counts.serversLogin,
    Math.floor(counts.maxWaitMs / 1000),
    Math.floor(counts.maxWaitMs % 1000) * 1000,
    pool.policy.mode,
    null,
    Number.isFinite(counts.concurrency) ? counts.concurrency : 0,
    pool.autoSize?.note ?? null,
  ]
}
