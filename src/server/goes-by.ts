import type { PoolerError } from '../errors.ts'

/** Classes of SQLSTATE that go by: connection exceptions, too few resources, operator intervention (start, stop). */
const PASSING_TROUBLE = new Set(['08', '53', '57'])

/** True for a failure to connect that may be over at the next attempt, or elsewhere; a wrong password is not. */
export function goesBy({ sqlState }: PoolerError): boolean {
  return PASSING_TROUBLE.has(sqlState.slice(0, 2))
}
