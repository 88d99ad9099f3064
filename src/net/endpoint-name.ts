import { isIPv6 } from 'node:net'
import type { Endpoint } from './transport.ts'

/** An endpoint as messages and logs name it: `db1:5432 (10.0.0.5)`, `[::1]:5432`, `/run/postgresql/.s.PGSQL.5432`. */
export function endpointName(endpoint: Endpoint): string {
  if ('path' in endpoint) return endpoint.path
  const { host, port, address } = endpoint
  const place = `${isIPv6(host) ? `[${host}]` : host}:${port}`
  return address === undefined ? place : `${place} (${address})`
}
