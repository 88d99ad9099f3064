import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

/** Codes of addresses that a name has, but that this machine cannot listen on: ::1 where there is no IPv6. */
const NOT_OF_THIS_MACHINE = ['EADDRNOTAVAIL', 'EAFNOSUPPORT']

/**
 * listenAddresses: everywhere that one item of listen_addr means. A name stands for all of its addresses, as with
 * PostgreSQL and PgBouncer: who connects to "localhost" may choose 127.0.0.1 or ::1. Rejects with the resolver's error.
 */
export async function listenAddresses(item: string): Promise<readonly string[]> {
  if (item === '*' || isIP(item) !== 0) return [item]
  const found = await lookup(item, { all: true })
  return [...new Set(found.map(({ address }) => address))]
}

/** True for a failure that does not matter as long as another address of the name works. */
export function isElsewhere(error: unknown): boolean {
  return NOT_OF_THIS_MACHINE.includes(String((error as NodeJS.ErrnoException).code))
}
