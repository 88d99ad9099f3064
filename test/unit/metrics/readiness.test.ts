import { expect, test } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { outageOf } from '../../../src/metrics/readiness.ts'
import type { PoolDirectory } from '../../../src/pool/pool-directory.ts'

/** When a database counts as down; what /readyz makes of it is in test/integration/metrics. */

const FAILED_AT_MS = 1_000_000
const unreachable = new PoolerError('57P03', 'the server cannot be reached')
const refused = new PoolerError('28P01', 'password authentication failed')

interface Supply {
  returning: number
  failure: PoolerError | null
}

function outage(afterMs: number, ...supplies: Supply[]): string | null {
  const pools = supplies.map((supply) => ({ supply: { ...supply, failedAtMs: FAILED_AT_MS } }))
  const directory = { of: () => pools } as unknown as PoolDirectory
  return outageOf(directory, 'app', FAILED_AT_MS + afterMs)
}

test('a database without a pool, or without a failure, is not down', () => {
  expect(outage(0)).toBeNull()
  expect(outage(0, { returning: 0, failure: null })).toBeNull()
})

test('a failure with no connection left means down, until it is too old to tell anything', () => {
  const down = { returning: 0, failure: unreachable }
  expect(outage(0, down)).toBe('the server cannot be reached')
  expect(outage(29_999, down)).toBe('the server cannot be reached')
  expect(outage(30_000, down)).toBeNull()
})

test('a connection of any pool shows that the server is there', () => {
  const down = { returning: 0, failure: unreachable }
  expect(outage(0, down, { returning: 1, failure: unreachable })).toBeNull()
  expect(outage(0, { returning: 1, failure: null }, down)).toBeNull()
})

test('who refuses a password is there', () => {
  expect(outage(0, { returning: 0, failure: refused })).toBeNull()
})
