import { expect, test } from 'vitest'
import { readReplicationMode } from '../../../src/protocol/replication-mode.ts'

test.each(['true', 'TRUE', 't', 'tru', 'yes', 'y', 'on', 'On', '1'])(
  '"%s" is physical replication',
  (value) => {
    expect(readReplicationMode(value)).toBe('physical')
  },
)

test.each(['false', 'f', 'no', 'n', 'off', 'of', '0', undefined])('"%s" is none', (value) => {
  expect(readReplicationMode(value)).toBe('none')
})

test('"database" is logical replication', () => {
  expect(readReplicationMode('database')).toBe('logical')
})

test.each(['', 'o', 'Database', 'databases', 'truely', '2', 'logical', ' on'])('"%s" is refused', (value) => {
  expect(() => readReplicationMode(value)).toThrow(
    expect.objectContaining({
      sqlState: '22023',
      message: `invalid value for parameter "replication": "${value}"`,
    }),
  )
})
