import type { Config } from '../config/config.ts'
import { poolPolicy } from '../config/pool-policy.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'

/** Makes the pools that keep connections open before they have a client: those whose user is known. */
export function openMinimum(config: Config, pools: PoolDirectory): void {
  for (const database of config.databases.values()) {
    if (database.user === undefined) continue
    if (poolPolicy(config, database, database.user).minSize > 0) pools.get(database.name, database.user)
  }
}
