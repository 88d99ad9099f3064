import { expect, test } from 'vitest'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import { minimumWarnings } from '../../../src/config/minimum-warnings.ts'

const warnings = (input: ConfigInput): string[] => minimumWarnings(buildConfig(input))

test('minimums of one database that do not fit into max_db_connections are told, with the numbers', () => {
  expect(
    warnings({
      pooler: { min_pool_size: 3, max_db_connections: 5 },
      databases: { app: {}, small: { user: 'a', min_pool_size: 5 } },
      users: { a: {}, b: {} },
    }),
  ).toEqual([
    'database "app": min_pool_size of its pools adds up to 6, but max_db_connections is 5: not all of them can be kept at their minimum',
  ])
})

test('minimums of one user that do not fit into max_user_connections are told', () => {
  const [line, ...rest] = warnings({
    pooler: { min_pool_size: 2 },
    databases: { one: { user: 'a' }, two: { user: 'a' } },
    users: { a: { max_user_connections: 3 } },
  })
  expect(line).toContain('user "a": min_pool_size of its pools adds up to 4, but max_user_connections is 3')
  expect(rest).toEqual([])
})

test('without a limit, a minimum, or a known user there is nothing to tell', () => {
  expect(warnings({ pooler: { min_pool_size: 9 }, databases: { app: {} }, users: { a: {}, b: {} } })).toEqual(
    [],
  )
  expect(
    warnings({ pooler: { max_db_connections: 1 }, databases: { app: {} }, users: { a: {}, b: {} } }),
  ).toEqual([])
  expect(warnings({ pooler: { min_pool_size: 2, max_db_connections: 1 }, databases: { app: {} } })).toEqual(
    [],
  )
})
