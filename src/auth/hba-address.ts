import { AccessLineError, shown } from './access-file-problems.ts'
import type { Token } from './access-tokens.ts'
import {
  type IpAddress,
  type IpNetwork,
  makeNetwork,
  networkContains,
  parseIp,
  prefixMask,
} from './ip-network.ts'

/**
 * HbaAddress: the address field of pg_hba.conf. Source: PostgreSQL documentation, "The pg_hba.conf File",
 * address. Host names are refused.
 */
export type HbaAddress =
  | { readonly kind: 'all' | 'samehost' | 'samenet' }
  | { readonly kind: 'network'; readonly network: IpNetwork }

/** The addresses of this machine with the masks of their networks; asked at each match, as they change. */
export type OwnNetworks = () => readonly IpNetwork[]

/** Reads the field; `mask` reads the next one where this has no prefix length. Throws AccessLineError. */
export function readHbaAddress({ text, quoted }: Token, mask: () => string): HbaAddress {
  if (!quoted && (text === 'all' || text === 'samehost' || text === 'samenet')) return { kind: text }
  const [base = '', prefix, ...more] = text.split('/')
  const address = parseIp(base)
  if (address === undefined || base.includes('%')) {
    throw new AccessLineError(
      `${shown(text)} is not an IP address, "all", "samehost" or "samenet"; host names are not supported, ` +
        'as each login would wait for DNS: write the address',
    )
  }
  if (prefix === undefined) return network(address, readMask(mask(), address))
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (more.length > 0 || !(length <= address.bits)) {
    throw new AccessLineError(`invalid prefix length in ${shown(text)}: expected 0 to ${address.bits}`)
  }
  return network(address, prefixMask(address.bits, length))
}

/** `client` is undefined where the address is not known, which only `all` covers. */
export function coversAddress(
  address: HbaAddress,
  client: IpAddress | undefined,
  ownNetworks: OwnNetworks,
): boolean {
  if (address.kind === 'all') return true
  if (client === undefined) return false
  switch (address.kind) {
    case 'network':
      return networkContains(address.network, client)
    case 'samehost':
      return ownNetworks().some(
        (own) => own.address.bits === client.bits && own.address.value === client.value,
      )
    case 'samenet':
      return ownNetworks().some((own) => networkContains(own, client))
  }
}

function readMask(text: string, address: IpAddress): bigint {
  const mask = parseIp(text)
  if (mask === undefined) {
    throw new AccessLineError(
      `expected a prefix length (such as /${address.bits}) or a mask, found ${shown(text)}`,
    )
  }
  if (mask.bits !== address.bits)
    throw new AccessLineError('the address and its mask are of different families')
  return mask.value
}

function network(address: IpAddress, mask: bigint): HbaAddress {
  return { kind: 'network', network: makeNetwork(address, mask) }
}
