import { listenAddress } from '../config/listen-address.ts'
import type { Logger } from '../log.ts'
import type { MetricSources } from '../metrics/metric.ts'
import { PrometheusText } from '../metrics/prometheus-text.ts'
import { HttpListener } from './http-listener.ts'
import { httpRoutes } from './http-routes.ts'

/**
 * Opens the listener of http_listen. `listening`: clients are accepted. Rejects with a PoolerError F0000 where that
 * address cannot be listened on.
 */
export async function openHttp(
  sources: MetricSources,
  listening: () => boolean,
  log: Logger,
): Promise<HttpListener | null> {
  const { http_listen } = sources.config().pooler
  if (http_listen === undefined) return null
  const routes = httpRoutes({ ...sources, listening, metrics: new PrometheusText(sources) })
  const http = new HttpListener(routes, log)
  await http.open(listenAddress(http_listen))
  return http
}
