import { lookup } from 'node:dns/promises'

/** All addresses of a host name as the system knows them (its hosts file, DNS), in the system's order of preference. */
export async function lookUpHost(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true })
  return found.map(({ address }) => address)
}
