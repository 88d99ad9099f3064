import type { BoundedCounts } from '../net/bounded-counts.ts'
import type { MetricSources, NumberMetric, Sample } from './metric.ts'
import { summed } from './metric.ts'

function counter(
  name: string,
  help: string,
  labels: readonly string[],
  samples: (sources: MetricSources) => Iterable<Sample<number>>,
): NumberMetric {
  return { name: `pooler_${name}_total`, type: 'counter', help, labels, samples }
}

const labelled = (counts: BoundedCounts): Sample<number>[] =>
  [...counts].map(([label, count]) => [[label], count] as const)

/** "kind SQLSTATE" of one side. */
const violations = (side: string, counts: BoundedCounts): Sample<number>[] =>
  [...counts].map(([label, count]) => {
    const [kind = '', sqlState = ''] = label.split(' ')
    return [[side, kind, sqlState], count] as const
  })

/** Connections that come and go, and what goes wrong on them. */
export const connectionMetrics: readonly NumberMetric[] = [
  counter('client_connections_opened', 'Connections of clients that were accepted.', [], ({ counts }) => [
    [[], counts.clients.opened],
  ]),
  counter(
    'client_connections_closed',
    'Connections of clients that were closed, by class of the reason.',
    ['reason'],
    ({ counts }) => labelled(counts.clients.closed),
  ),
  counter(
    'client_connections_refused',
    'Connections of clients that were refused before anything was read: no file descriptors left, or too many without a login.',
    ['reason'],
    ({ refusedForDescriptors, multiplexer }) => [
      [['file_descriptors'], refusedForDescriptors()],
      [['too_many_logins'], multiplexer.flooded],
    ],
  ),
  counter('server_connections_opened', 'Connections to servers whose login began.', [], ({ counts }) => [
    [[], counts.servers.opened],
  ]),
  counter(
    'server_connections_closed',
    'Connections to servers that were closed, by class of the reason.',
    ['reason'],
    ({ counts }) => labelled(counts.servers.closed),
  ),
  counter(
    'protocol_violations',
    'What peers sent that the protocol does not allow, by side, kind and SQLSTATE.',
    ['side', 'kind', 'sqlstate'],
    ({ counts }) => [
      ...violations('client', counts.clientViolations),
      ...violations('server', counts.serverViolations),
    ],
  ),
  counter(
    'client_errors',
    "Errors of the pooler's own that clients were disconnected with, by SQLSTATE (SHOW ERRORS).",
    ['sqlstate'],
    ({ multiplexer }) =>
      summed([...multiplexer.errors].map(({ sqlState, count }) => [[sqlState], count] as const)),
  ),
]
