import { isIPv4, isIPv6 } from 'node:net'

/**
 * IP addresses and networks as numbers, for the rules of pg_hba.conf and for counting logins by address.
 * An IPv4 client of a socket that listens on IPv6 has an address such as ::ffff:10.0.0.1: it counts as IPv4.
 * Stateless.
 */

export interface IpAddress {
  readonly bits: 32 | 128
  readonly value: bigint
}

export interface IpNetwork {
  readonly address: IpAddress
  readonly mask: bigint
}

const MAPPED_PREFIX = 0xffffn << 32n
const IPV4_MASK = 0xffff_ffffn

/** The address in `text`; undefined when it is none. A zone such as %eth0 is left away. */
export function parseIp(text: string): IpAddress | undefined {
  if (isIPv4(text)) return { bits: 32, value: ipv4Value(text) }
  if (!isIPv6(text)) return undefined
  return { bits: 128, value: ipv6Value(text.replace(/%.*$/, '')) }
}

/** The address of a client, an IPv4 one also where it came in through IPv6. */
export function parseClientIp(text: string): IpAddress | undefined {
  const address = parseIp(text)
  if (address?.bits !== 128 || address.value >> 32n !== MAPPED_PREFIX >> 32n) return address
  return { bits: 32, value: address.value & IPV4_MASK }
}

/** The mask of a network with a prefix of this length. */
export function prefixMask(bits: 32 | 128, length: number): bigint {
  const all = (1n << BigInt(bits)) - 1n
  return all ^ (all >> BigInt(length))
}

/** A network; one within ::ffff:0:0/96 is the IPv4 network that it means. */
export function makeNetwork(address: IpAddress, mask: bigint): IpNetwork {
  const mapped = address.bits === 128 && address.value >> 32n === MAPPED_PREFIX >> 32n
  if (!mapped || mask >> 32n !== prefixMask(128, 96) >> 32n) return { address, mask }
  return { address: { bits: 32, value: address.value & IPV4_MASK }, mask: mask & IPV4_MASK }
}

export function networkContains({ address, mask }: IpNetwork, other: IpAddress): boolean {
  return address.bits === other.bits && ((address.value ^ other.value) & mask) === 0n
}

function ipv4Value(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n)
}

function ipv6Value(text: string): bigint {
  const [head = '', tail] = text.split('::')
  const before = ipv6Groups(head)
  const after = tail === undefined ? [] : ipv6Groups(tail)
  const zeros = new Array<bigint>(8 - before.length - after.length).fill(0n)
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | group, 0n)
}

function ipv6Groups(text: string): bigint[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)]
    const value = ipv4Value(group)
    return [value >> 16n, value & 0xffffn]
  })
}
