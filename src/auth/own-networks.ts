import { networkInterfaces } from 'node:os'
import type { OwnNetworks } from './hba-address.ts'
import { type IpNetwork, makeNetwork, parseIp } from './ip-network.ts'

/** The networks that this machine has an address in, for `samehost` and `samenet` of pg_hba.conf. */
export const ownNetworks: OwnNetworks = () => {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return addresses.flatMap(({ address, netmask }): IpNetwork[] => {
    const [own, mask] = [parseIp(address), parseIp(netmask)]
    return own === undefined || mask === undefined ? [] : [makeNetwork(own, mask.value)]
  })
}
