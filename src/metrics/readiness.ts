import { type Config, findDatabase } from '../config/config.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import { goesBy } from '../server/goes-by.ts'

/**
 * How long a failed attempt to connect tells something. Where nobody tries again, because nobody is routed here any
 * more, it must not keep the pooler unready for ever.
 */
const FAILURE_TELLS_MS = 30_000

export interface ReadinessParts {
  readonly config: () => Config
  readonly pools: PoolDirectory
  readonly multiplexer: Multiplexer
}

/**
 * Why new clients should go elsewhere at the moment; null = they are served here. With a database, only what
 * concerns that one counts; without, everything that is paused or down does.
 */
export function unreadyReason(
  parts: ReadinessParts,
  database: string | undefined,
  nowMs: number,
): string | null {
  const { config, pools, multiplexer } = parts
  if (multiplexer.closing) return 'the pooler is shutting down'
  if (multiplexer.suspended) return 'the pooler is suspended'
  if (pools.allPaused) return 'the pooler is paused'
  if (database !== undefined) {
    if (findDatabase(config(), database) === undefined) return `there is no database ${database}`
    if (pools.isDisabled(database)) return `database ${database} is disabled`
  }
  const names = database === undefined ? namesOf(config(), pools) : [database]
  for (const name of names) {
    if (pools.isPaused(name)) return `database ${name} is paused`
    const failure = outageOf(pools, name, nowMs)
    if (failure !== null) return `no server of database ${name} answers: ${failure}`
  }
  return null
}

/** Why a database has no server: all its pools are without any, and their last attempts have failed lately. */
export function outageOf(pools: PoolDirectory, database: string, nowMs: number): string | null {
  let failure: string | null = null
  for (const { supply } of pools.of(database)) {
    if (supply.returning > 0) return null
    // Whoever refuses a password is there.
    if (supply.failure === null || !goesBy(supply.failure)) continue
    if (nowMs - supply.failedAtMs < FAILURE_TELLS_MS) failure = supply.failure.message
  }
  return failure
}

function namesOf({ databases }: Config, pools: PoolDirectory): Set<string> {
  return new Set([...databases.keys(), ...[...pools].map(({ database }) => database)])
}
