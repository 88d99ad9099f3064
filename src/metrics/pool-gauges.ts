import { type NumberMetric, type Sample, summed } from './metric.ts'
import { type PoolCounts, poolCounts } from './pool-counts.ts'

const MS_PER_SECOND = 1000

type Value = (counts: PoolCounts) => number

/** SHOW POOLS: what clients and servers of each pool do. */
const COUNTS: readonly (readonly [string, string, Value])[] = [
  ['client_active_connections', 'Clients that have a server or ask for nothing.', (c) => c.clientsActive],
  ['client_waiting_connections', 'Clients that wait for a server.', (c) => c.clientsWaiting],
  ['server_active_connections', 'Server connections that a client has.', (c) => c.serversActive],
  ['server_idle_connections', 'Server connections that are free.', (c) => c.serversIdle],
  ['server_used_connections', 'Free ones that are checked before their next use.', (c) => c.serversUsed],
  ['server_testing_connections', 'Server connections that are being checked.', (c) => c.serversTested],
  ['server_login_connections', 'Server connections that are being opened.', (c) => c.serversLogin],
  [
    'server_being_canceled_connections',
    'Server connections that wait for a CancelRequest to be delivered.',
    (c) => c.serversBeingCanceled,
  ],
  ['cancels', 'CancelRequests under way.', (c) => c.cancels],
  [
    'concurrency',
    'Server connections that clients may have at once: pool_size, or what "auto" has found.',
    (c) => c.concurrency,
  ],
]

function gauge(
  name: string,
  help: string,
  value: Value,
  join: (samples: Iterable<Sample<number>>) => Iterable<Sample<number>> = summed,
): NumberMetric {
  return {
    name: `pooler_pools_${name}`,
    type: 'gauge',
    help: `${help} (SHOW POOLS)`,
    labels: ['database', 'user'],
    samples({ pools, multiplexer }) {
      const rows = poolCounts(pools, multiplexer, multiplexer.clock.nowMs())
      return join(
        rows.map(([{ metrics, database, user }, counts]) => [
          [metrics?.database ?? database, metrics?.user ?? user],
          value(counts),
        ]),
      )
    },
  }
}

/** Of pools that are shown together, the largest. */
function largest(samples: Iterable<Sample<number>>): Iterable<Sample<number>> {
  const values = new Map<string, Sample<number>>()
  for (const sample of samples) {
    const key = JSON.stringify(sample[0])
    if (sample[1] >= (values.get(key)?.[1] ?? 0)) values.set(key, sample)
  }
  return values.values()
}

export const poolGauges: readonly NumberMetric[] = [
  ...COUNTS.map(([name, help, value]) => gauge(name, help, value)),
  gauge(
    'client_maxwait_seconds',
    'How long the longest waiter has waited.',
    ({ maxWaitMs }) => maxWaitMs / MS_PER_SECOND,
    largest,
  ),
]
