import { isIP } from 'node:net'
import type { DatabaseConfig } from '../config/config.ts'
import { unixSocketPath } from '../config/unix-socket-path.ts'
import type { DnsCache } from '../net/dns-cache.ts'
import { endpointName } from '../net/endpoint-name.ts'
import type { ServerTls } from '../net/tls-directory.ts'
import type { Endpoint } from '../net/transport.ts'
import type { HostBackOff } from './host-back-off.ts'
import { isListed } from './is-listed.ts'

export interface HostListOptions {
  /** The settings as they are now: a reload is seen by the next connection that is opened. */
  readonly places: () => Pick<DatabaseConfig, 'host' | 'port' | 'load_balance_hosts'>
  readonly tls: () => ServerTls
  readonly dns: DnsCache
  readonly backOff: HostBackOff
  /** Where round-robin begins: pools of one connection each would otherwise all have it at the first host. */
  readonly firstTurn?: number
}

/** Where one attempt to open a connection may go. */
export interface HostChoice {
  /** Each address once, those first that are to be tried first. */
  readonly endpoints: readonly Endpoint[]
  /** Hosts whose names have no address, and why. */
  readonly unknown: readonly { readonly endpoint: Endpoint; readonly error: unknown }[]
}

/** With more turns than addresses, whatever their number. */
const TURNS = 2 ** 20

/**
 * HostList: at which host, and which address of it, a pool opens its next connection. It owns whose turn it is;
 * which hosts failed lately is known to the HostBackOff that all lists share. One per pool, used by openAtSomeHost.
 * Hosts have equal shares, and share theirs equally among their addresses, as with PgBouncer.
 */
export class HostList {
  readonly #options: HostListOptions
  #turn: number
  /** Under load_balance_hosts = "disable": the one that works. */
  #current: Endpoint | null = null

  constructor(options: HostListOptions) {
    this.#options = options
    this.#turn = options.firstTurn ?? Math.floor(Math.random() * TURNS)
  }

  /** Whether a host that has no connection left is passed over, or waited for. */
  get sticks(): boolean {
    return this.#options.places().load_balance_hosts === 'disable'
  }

  /** Never rejects. The first of the endpoints is going to be tried. */
  async choose(): Promise<HostChoice> {
    const { backOff, places } = this.#options
    const { host, port } = places()
    const turn = this.#turn++
    const unknown: { endpoint: Endpoint; error: unknown }[] = []
    const resolved = await Promise.all(
      host.map((name) =>
        this.#endpointsOf(name, port).catch((error: unknown) => {
          unknown.push({ endpoint: { host: name, port }, error })
          return []
        }),
      ),
    )
    const nowMs = Date.now()
    const isFit = (endpoint: Endpoint): boolean => !backOff.isBackedOff(endpoint, nowMs)
    const endpoints = this.sticks ? this.#fromCurrent(resolved.flat()) : byTurns(resolved, turn, isFit)
    const ordered = [...endpoints.filter(isFit), ...endpoints.filter((endpoint) => !isFit(endpoint))]
    if (ordered[0] !== undefined) backOff.probe(ordered[0], nowMs)
    return { endpoints: ordered, unknown }
  }

  /** It could not be connected to. True if that is news. */
  failed(endpoint: Endpoint): boolean {
    return this.#options.backOff.failed(endpoint, Date.now())
  }

  /** A connection was opened there. True if that is news. */
  succeeded(endpoint: Endpoint): boolean {
    const { backOff } = this.#options
    const isBack = backOff.succeeded(endpoint)
    // Whoever began with another one that works comes back too late to make it the current one.
    if (this.#current === null || backOff.hasFailed(this.#current)) this.#current = endpoint
    return isBack
  }

  /** Asks for the addresses of its names again where the answers are too old. */
  refresh(): void {
    for (const name of this.#options.places().host) if (isName(name)) this.#options.dns.refresh(name)
  }

  /** What says false of a host that is not in the list any more, and of an address that its name has no more. */
  get lists(): (endpoint: Endpoint) => boolean {
    const { dns } = this.#options
    const places = this.#options.places()
    return (endpoint) => isListed(endpoint, places, (name) => dns.known(name))
  }

  async #endpointsOf(name: string, port: number): Promise<Endpoint[]> {
    const { dns, tls } = this.#options
    if (name.startsWith('/')) return [{ path: unixSocketPath(name, port) }]
    if (!isName(name)) return [{ host: name, port, tls }]
    const addresses = await dns.resolve(name)
    return addresses.map((address) => ({ host: name, port, address, tls }))
  }

  /** In the list's order, beginning with the current one. */
  #fromCurrent(endpoints: readonly Endpoint[]): Endpoint[] {
    const name = this.#current === null ? undefined : endpointName(this.#current)
    const found = endpoints.findIndex((endpoint) => endpointName(endpoint) === name)
    const index = Math.max(0, found)
    this.#current = endpoints[index] ?? null
    return [...endpoints.slice(index), ...endpoints.slice(0, index)]
  }
}

/** The hosts in turn, and in each round the addresses of each in turn; only those that are fit have one. */
function byTurns(
  hosts: readonly (readonly Endpoint[])[],
  turn: number,
  isFit: (endpoint: Endpoint) => boolean,
): Endpoint[] {
  const fit = hosts.map((endpoints) => endpoints.filter(isFit)).filter(({ length }) => length > 0)
  const round = Math.floor(turn / Math.max(1, fit.length))
  const unfit = hosts.flat().filter((endpoint) => !isFit(endpoint))
  return [...rotated(fit, turn).flatMap((endpoints) => rotated(endpoints, round)), ...unfit]
}

function rotated<T>(items: readonly T[], turn: number): T[] {
  const index = items.length === 0 ? 0 : turn % items.length
  return [...items.slice(index), ...items.slice(0, index)]
}

function isName(host: string): boolean {
  return !host.startsWith('/') && isIP(host) === 0
}
