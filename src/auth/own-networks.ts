import { networkInterfaces } from 'node:os'
import { PoolerError, SqlState } from '../errors.ts'
import type { OwnNetworks } from './hba-address.ts'
import { type IpNetwork, makeNetwork, parseIp } from './ip-network.ts'

/**
 * The networks that this machine has an address in, for `samehost` and `samenet` of pg_hba.conf. Throws
 * PoolerError 57P03 where the system does not tell: without a free file descriptor, for one. The login is refused
 * then, for nobody knows whether the rule would have been one that rejects.
 */
export const ownNetworks: OwnNetworks = () => {
  const addresses = Object.values(interfaces()).flatMap((list) => list ?? [])
  return addresses.flatMap(({ address, netmask }): IpNetwork[] => {
    const [own, mask] = [parseIp(address), parseIp(netmask)]
    return own === undefined || mask === undefined ? [] : [makeNetwork(own, mask.value)]
  })
}

function interfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces()
  } catch (cause) {
    const message = 'the pooler cannot tell its own addresses at the moment'
    throw new PoolerError(SqlState.CannotConnectNow, message, { cause })
  }
}
