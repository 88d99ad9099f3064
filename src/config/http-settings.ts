/**
 * The rows of the table of settings about the HTTP listener for metrics and health. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

export const httpSettings = {
  http_listen: {
    type: 'string',
    reloadable: false,
    pattern: /^(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:[\]/]+):\d{1,5}$/,
    expected: 'an address and a port, such as "127.0.0.1:9187" or "[::1]:9187"',
    in: {
      pooler: {
        otherwise: 'no listener, and what only /metrics shows is not counted',
        example: '127.0.0.1:9187',
        doc: [
          'Where to serve HTTP: /metrics for Prometheus, /healthz and /readyz for whoever restarts or routes. There',
          'is no password and no TLS: it is for a network that you trust. An IPv6 address goes in brackets. Not in',
          'PgBouncer.',
        ],
      },
    },
  },
  metrics_max_pools: {
    type: 'integer',
    reloadable: false,
    unit: 'pools',
    min: 1,
    max: 100_000,
    in: {
      pooler: {
        otherwise: '200',
        example: 200,
        doc: [
          'For how many pairs of database and user /metrics has series of their own. All further ones are counted',
          'together, as database "other" and user "other". Needs http_listen.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
