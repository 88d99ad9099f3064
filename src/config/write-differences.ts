/** Writes the tables of "Coming from PgBouncer" into the README. Run it with `npm run differences`. */
import { readFile, writeFile } from 'node:fs/promises'
import { pgbouncerDifferences } from './pgbouncer-differences.ts'

const readme = new URL('../../README.md', import.meta.url)
const [before = '', rest = ''] = (await readFile(readme, 'utf8')).split('<!-- pgbouncer:start -->')
const [, after = ''] = rest.split('<!-- pgbouncer:end -->')
await writeFile(
  readme,
  `${before}<!-- pgbouncer:start -->\n\n${pgbouncerDifferences()}\n\n<!-- pgbouncer:end -->${after}`,
)
