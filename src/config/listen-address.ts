/** The parts of "host:port" or "[IPv6]:port", as a setting's pattern has let it pass. */
export function listenAddress(written: string): { host: string; port: number } {
  const colon = written.lastIndexOf(':')
  return { host: written.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(written.slice(colon + 1)) }
}
