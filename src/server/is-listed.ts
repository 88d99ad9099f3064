import { unixSocketPath } from '../config/unix-socket-path.ts'
import type { Endpoint } from '../net/transport.ts'

/** Where the servers of a database are: the settings that say it. */
export interface ServerPlaces {
  readonly host: readonly string[]
  readonly port: number
}

/**
 * Whether an endpoint belongs to these places still: what a reload, and an answer of DNS, mean for connections that
 * exist. `addressesOf` gives the addresses of a name; where it knows none, every address counts as one of them.
 */
export function isListed(
  endpoint: Endpoint,
  { host, port }: ServerPlaces,
  addressesOf: (name: string) => readonly string[] | undefined = () => undefined,
): boolean {
  if ('path' in endpoint) return host.some((folder) => unixSocketPath(folder, port) === endpoint.path)
  if (endpoint.port !== port || !host.includes(endpoint.host)) return false
  if (endpoint.address === undefined) return true
  return addressesOf(endpoint.host)?.includes(endpoint.address) ?? true
}
