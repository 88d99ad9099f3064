import type { PrometheusText } from '../metrics/prometheus-text.ts'
import { type ReadinessParts, unreadyReason } from '../metrics/readiness.ts'
import { type HttpRoute, sentence } from './http-listener.ts'

export interface HttpRoutesParts extends ReadinessParts {
  /** Clients are accepted. */
  readonly listening: () => boolean
  readonly metrics: Pick<PrometheusText, 'contentType' | 'render'>
}

/** The paths that are served, and what they answer. */
export function httpRoutes(parts: HttpRoutesParts): ReadonlyMap<string, HttpRoute> {
  const { metrics } = parts
  return new Map<string, HttpRoute>([
    ['/metrics', async () => ({ status: 200, type: metrics.contentType, body: await metrics.render() })],
    ['/healthz', () => sentence(200, 'the process serves')],
    [
      '/readyz',
      (query) => {
        const reason = parts.listening()
          ? unreadyReason(parts, query.get('database') ?? undefined, Date.now())
          : notListening(parts)
        return reason === null ? sentence(200, 'ready') : sentence(503, reason)
      },
    ],
  ])
}

function notListening({ multiplexer }: HttpRoutesParts): string {
  return multiplexer.closing ? 'the pooler is shutting down' : 'the pooler is starting'
}
