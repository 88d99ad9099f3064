import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LoadedConfig, loadIni } from '../../../src/config/load-ini.ts'
import { pgbouncerAliases, pgbouncerSettings } from '../../../src/config/pgbouncer-settings.ts'
import { settingIn } from '../../../src/config/read-section.ts'
import type { Scope } from '../../../src/config/setting.ts'
import { pgbouncerKeys, pgbouncerParameters } from '../../support/pgbouncer-settings.ts'

/** That PgBouncer 1.25 has nothing that is unknown here. */

const names = { pooler: Object.keys(pgbouncerParameters), ...pgbouncerKeys }

function isBuilt(scope: Scope, name: string): boolean {
  return settingIn(scope, pgbouncerAliases[name] ?? name) !== undefined
}

describe.each(['pooler', 'database', 'user'] as const)('of the settings of a %s', (scope) => {
  test('each works, or is in the table of those without effect, never both', () => {
    const known = names[scope].map((name) => [
      name,
      isBuilt(scope, name),
      pgbouncerSettings[name]?.in === scope,
    ])
    expect(known.filter(([, built, foreign]) => built === foreign)).toEqual([])
  })

  test('none is in that table that PgBouncer has not', () => {
    const rows = Object.entries(pgbouncerSettings).filter(([, row]) => row.in === scope)
    for (const [name] of rows) expect(names[scope]).toContain(name)
  })
})

describe('in [pgbouncer]', () => {
  let folder: string
  let unwritten: LoadedConfig
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-settings-'))
    unwritten = await load('')
  })
  afterAll(() => rm(folder, { recursive: true }))

  async function load(line: string): Promise<LoadedConfig> {
    const path = join(folder, 'pgbouncer.ini')
    await writeFile(path, `[pgbouncer]\n${line}\n`)
    return loadIni(path)
  }

  const rows = Object.entries(pgbouncerParameters)

  // The one whose default is nothing here, which means the same.
  test.each(rows.filter(([name]) => isBuilt('pooler', name) && name !== 'unix_socket_mode'))(
    '%s holds %j where nothing is written',
    async (name, written) => {
      // Without effect until auth_user is there; then it is PgBouncer's, too.
      const notices = name === 'auth_query' ? [expect.stringContaining('there is no auth_user')] : []
      expect(await load(`${name} = ${written}`)).toEqual({ ...unwritten, notices })
    },
  )

  test.each(rows.filter(([name]) => !isBuilt('pooler', name)))(
    '%s is known to be %j where nothing is written',
    async (name, written) => {
      expect(pgbouncerSettings[name]?.default).toBe(written)
      expect((await load(`${name} = ${written}`)).config).toEqual(unwritten.config)
    },
  )
})
