import { describe, expect, test } from 'vitest'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import type { Logger } from '../../../src/log.ts'
import { warnOfFewDescriptors } from '../../../src/process/descriptor-check.ts'

/** When the limit of open files is too low for a configuration. */

type Warning = readonly [details: { readonly needed: number; readonly servers: number }, message: string]

function warnings(input: ConfigInput, limit: number | undefined): Warning[] {
  const lines: Warning[] = []
  const log = { warn: (...line: Warning) => lines.push(line) } as unknown as Logger
  warnOfFewDescriptors(buildConfig(input), limit, log)
  return lines
}

const pooler = { max_client_conn: 100, default_pool_size: 10 }

describe('the limit of open files', () => {
  test('that is too low is told with all numbers and what to do', () => {
    const config = { pooler, databases: { app: {} }, users: { ann: {} } }
    expect(warnings(config, 173)).toEqual([
      [
        { limit: 173, needed: 174, max_client_conn: 100, servers: 10 },
        'the limit of open files is 173, but 100 clients (max_client_conn), at least 10 server connections and ' +
          '64 other files may need 174: raise it ("ulimit -Hn", or LimitNOFILE= in the systemd unit), or lower ' +
          'max_client_conn; when it is reached, clients are refused with 53300',
      ],
    ])
  })

  test('that is high enough, unlimited or unknown is not worth a line', () => {
    const config = { pooler, databases: { app: {} }, users: { ann: {} } }
    for (const limit of [174, Number.POSITIVE_INFINITY, undefined])
      expect(warnings(config, limit)).toEqual([])
  })
})

describe('the server connections that count', () => {
  test.each<[string, ConfigInput, number]>([
    ['none without a database', {}, 0],
    ['one pool where no user is known', { databases: { app: {} } }, 10],
    ['one pool for each user of each database', { databases: { a: {}, b: {} }, users: { x: {}, y: {} } }, 40],
    ['"*" as one database more', { databases: { a: {}, '*': {} }, users: { x: {} } }, 20],
    ['sizes of databases', { databases: { a: { pool_size: 3 }, b: {} }, users: { x: {} } }, 13],
    ['sizes of users', { databases: { a: { pool_size: 3 } }, users: { x: { pool_size: 5 } } }, 5],
    ['nothing for pools without limit', { databases: { a: { pool_size: 0 }, b: {} } }, 10],
  ])('%s', (_what, input, servers) => {
    expect(warnings({ ...input, pooler }, 1)[0]?.[0]).toMatchObject({ servers, needed: 164 + servers })
  })
})
