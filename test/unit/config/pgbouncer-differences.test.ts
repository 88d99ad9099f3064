import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { pgbouncerDifferences } from '../../../src/config/pgbouncer-differences.ts'

test('the README has every difference from PgBouncer that the tables of the loader have', async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8')
  const written = /<!-- pgbouncer:start -->\n\n(.*)\n\n<!-- pgbouncer:end -->/s.exec(readme)?.[1]
  expect(written, 'out of date: run "npm run differences" and commit the file').toBe(pgbouncerDifferences())
})
