import type { Config } from '../config/config.ts'
import { unlimited } from '../config/pool-policy.ts'
import { version } from '../config/version.ts'
import type { MetricSources, NumberMetric } from './metric.ts'

const MS_PER_SECOND = 1000

function single(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (sources: MetricSources) => number,
): NumberMetric {
  return {
    name: `pooler_${name}`,
    type,
    help,
    labels: [],
    samples: (sources) => [[[], value(sources)]],
  }
}

type Limit = 'max_client_conn' | 'default_pool_size' | 'max_user_connections'

const limit = (name: Limit, help: string): NumberMetric =>
  single('gauge', `config_${name}`, help, ({ config }) => settingOf(config(), name))

function settingOf({ pooler }: Config, name: Limit): number {
  return name === 'max_client_conn' ? pooler[name] : unlimited(pooler[name])
}

/** The process as a whole. */
export const processMetrics: readonly NumberMetric[] = [
  {
    name: 'pooler_build_info',
    type: 'gauge',
    help: 'Always 1; the labels say which version runs.',
    labels: ['version', 'node'],
    samples: () => [[[version, process.version], 1]],
  },
  single('gauge', 'paused', '1 while all databases are paused.', ({ pools }) => Number(pools.allPaused)),
  single('gauge', 'suspended', '1 while the pooler is suspended.', ({ multiplexer }) =>
    Number(multiplexer.suspended),
  ),
  single('gauge', 'draining', '1 while the pooler waits for its last clients.', ({ multiplexer }) =>
    Number(multiplexer.closing),
  ),
  single(
    'gauge',
    'clients',
    'Connections of clients, logged in or not.',
    ({ multiplexer }) => multiplexer.clientCount,
  ),
  single(
    'gauge',
    'login_clients',
    'Connections of clients that have not logged in yet.',
    ({ multiplexer }) => multiplexer.clientCount - multiplexer.clients.length,
  ),
  single('gauge', 'pools', 'Pools that exist.', ({ pools }) => [...pools].length),
  limit('max_client_conn', 'The setting max_client_conn.'),
  limit('default_pool_size', 'The setting default_pool_size.'),
  limit('max_user_connections', 'The setting max_user_connections; +Inf = no limit.'),
  single(
    'gauge',
    'config_last_reload_successful',
    '1 if the last reload succeeded, or there was none.',
    ({ reloads }) => Number(reloads.lastSucceeded),
  ),
  single(
    'gauge',
    'config_last_load_timestamp_seconds',
    'When the configuration that is in effect was read.',
    ({ reloads }) => reloads.loadedAtMs / MS_PER_SECOND,
  ),
  {
    name: 'pooler_config_reloads_total',
    type: 'counter',
    help: 'Reloads of the configuration by result.',
    labels: ['result'],
    samples: ({ reloads }) => [
      [['success'], reloads.succeeded],
      [['failure'], reloads.failed],
    ],
  },
  single('gauge', 'prepared_statements', 'Different statements in use.', ({ registry }) => registry.size),
  single(
    'gauge',
    'server_prepared_statements',
    'Statements on all server connections together.',
    ({ pools }) => {
      let size = 0
      for (const pool of pools)
        for (const { statements } of pool.supply.servers) size += statements?.size ?? 0
      return size
    },
  ),
  single(
    'counter',
    'server_prepared_statements_evicted_total',
    'Statements that servers gave up for others (max_prepared_statements).',
    ({ registry }) => registry.evictions,
  ),
  single(
    'gauge',
    'promoted_statements',
    'Texts that are prepared in place of unnamed statements (prepare_unnamed).',
    ({ registry }) => registry.promoted.size,
  ),
  single(
    'counter',
    'promoted_statements_promoted_total',
    'Texts that were prepared in place of unnamed statements.',
    ({ registry }) => registry.promoted.promotions,
  ),
  single(
    'counter',
    'promoted_statements_reused_total',
    'Unnamed Parse messages that no server was sent.',
    ({ registry }) => registry.promoted.reuses,
  ),
  single(
    'counter',
    'promoted_statements_evicted_total',
    'Texts that were given up for others.',
    ({ registry }) => registry.promoted.evictions,
  ),
  single(
    'counter',
    'lazy_begins_total',
    'BEGINs that were answered without a server (lazy_begin).',
    ({ multiplexer }) => multiplexer.lazyBegins.begins,
  ),
  single(
    'counter',
    'lazy_begins_empty_total',
    'Of which those whose transaction ended without a statement, so that no server was needed.',
    ({ multiplexer }) => multiplexer.lazyBegins.empty,
  ),
  single(
    'counter',
    'promoted_statements_replanned_total',
    'Times that such a statement was parsed anew on a server, because the schema has or may have changed.',
    ({ registry }) => registry.promoted.replans,
  ),
  single(
    'counter',
    'promoted_statements_repeated_total',
    "Batches that were repeated with the client's own Parse, because such a statement led to an error.",
    ({ registry }) => registry.promoted.repeats,
  ),
  single('gauge', 'dns_hosts', 'Names of servers that were looked up.', ({ dns }) => [...dns].length),
  {
    name: 'pooler_dns_lookups_total',
    type: 'counter',
    help: 'Questions for the addresses of servers by result.',
    labels: ['result'],
    samples: ({ dns }) => [
      [['success'], dns.answers],
      [['failure'], dns.failures],
    ],
  },
]
