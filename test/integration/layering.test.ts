import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

/**
 * Proves that the linter enforces the architecture: small projects with this repository's biome.json, each with
 * one mistake, must fail with the rule that is meant for it; the same project without the mistake must pass.
 */

const repository = fileURLToPath(new URL('../..', import.meta.url))
const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome')

let project: string

beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), 'pooler-layering-'))
  // The copy is no git repository, and schema paths do not matter to it.
  const config = JSON.parse(await readFile(join(repository, 'biome.json'), 'utf8'))
  delete config.$schema
  await write('biome.json', JSON.stringify({ ...config, vcs: { enabled: false } }))
  await copyFile(join(repository, 'package.json'), join(project, 'package.json'))
})

afterEach(async () => {
  await rm(project, { recursive: true })
})

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(project, path)), { recursive: true })
  await writeFile(join(project, path), text)
}

/** The rules that the linter reports, with the file: "lint/style/noRestrictedImports src/a/b.ts". */
async function lint(files: Record<string, string>): Promise<string[]> {
  for (const [path, text] of Object.entries(files)) await write(path, text)
  const output = await new Promise<string>((resolve) => {
    const parameters = [
      biome,
      'lint',
      '--error-on-warnings',
      '--max-diagnostics=none',
      '--reporter=json',
      'src',
    ]
    // The exit code says only that there was something; what it was is in the report.
    execFile(process.execPath, parameters, { cwd: project }, (_error, stdout) => resolve(stdout))
  })
  const report = JSON.parse(output) as { diagnostics: { category: string; location: { path: string } }[] }
  return report.diagnostics.map(({ category, location }) => `${category} ${location.path}`).sort()
}

const importing = (specifier: string) =>
  `import { thing } from '${specifier}'\n\nexport const mine = () => thing\n`
const importingType = (specifier: string) =>
  `import type { Thing } from '${specifier}'\n\nexport type Mine = Thing\n`
const LEAF = 'export const thing = 1\nexport type Thing = number\n'

/** Who may not import what. Each file imports a value and a type; both must be refused. */
const REFUSED = [
  ['src/protocol/framer.ts', '../config/settings.ts'],
  ['src/config/settings.ts', '../log.ts'],
  ['src/net/wire.ts', '../auth/scram.ts'],
  ['src/auth/hba.ts', '../net/wire.ts'],
  ['src/prepared/rewrite.ts', '../server/lease.ts'],
  ['src/server/server-login.ts', '../pool/server-pool.ts'],
  ['src/pool/limits.ts', '../client/client-connection.ts'],
  ['src/client/client-login.ts', '../multiplexer/multiplexer.ts'],
  ['src/multiplexer/from-client.ts', '../metrics/snapshot.ts'],
  ['src/metrics/prometheus.ts', '../http/server.ts'],
  ['src/admin/commands/reload.ts', '../../pooler.ts'],
  ['src/embedded/postgres.ts', '../protocol/framer.ts'],
  ['src/process/pidfile.ts', '../net/wire.ts'],
  ['src/server/server-state.ts', '../process/pidfile.ts'],
  ['src/top/snapshot.ts', '../admin/command-list.ts'],
  ['src/server/lessee.ts', '../top/snapshot.ts'],
  ['src/log.ts', './config/settings.ts'],
  ['src/errors.ts', './protocol/framer.ts'],
  ['src/pooler.ts', './cli.ts'],
  ['src/index.ts', './cli.ts'],
] as const

const ALLOWED = [
  ['src/protocol/startup.ts', '../errors.ts'],
  ['src/server/cancel-request.ts', '../net/transport.ts'],
  ['src/pool/janitor.ts', './wait-queue.ts'],
  ['src/multiplexer/cancel-keys.ts', '../log.ts'],
  ['src/admin/commands/show-pools.ts', '../admin-session.ts'],
  ['src/admin/commands/pause.ts', '../../metrics/snapshot.ts'],
  ['src/workers/worker.ts', '../pooler.ts'],
  ['src/process/descriptor-check.ts', '../config/config.ts'],
  ['src/process/systemd.ts', '../log.ts'],
  ['src/top/console-connection.ts', '../server/server-login.ts'],
  ['src/cli.ts', './top/run-top.ts'],
  ['src/cli.ts', './embedded/embedded-postgres.ts'],
] as const

/** Package, a file that may not import it, a file that may. */
const DOORS = [
  ['generic-pool', 'src/pool/pool-stats.ts', 'src/pool/connection-lifecycle.ts'],
  ['toml', 'src/config/reload.ts', 'src/config/load-toml.ts'],
  ['pino', 'src/client/client-state.ts', 'src/log.ts'],
  ['lru-cache', 'src/auth/md5.ts', 'src/auth/credentials.ts'],
  ['lru-cache', 'src/server/server-state.ts', 'src/prepared/server-statements.ts'],
  ['node:net', 'src/server/parameter-status.ts', 'src/net/node-transport.ts'],
] as const

describe('imports', () => {
  const RULE = 'lint/style/noRestrictedImports'

  test('of a layer above or beside fail, those of a layer below pass', async () => {
    const cases = [...REFUSED, ...ALLOWED]
    const leaves = cases.map(([file, specifier]) => [join(dirname(file), specifier), LEAF])
    const importers = cases.map(([file, specifier]) => [
      file,
      importing(specifier) + importingType(specifier),
    ])
    // Later entries win: a file that is imported and imports is written as an importer.
    const problems = await lint(Object.fromEntries([...leaves, ...importers]))
    const expected = REFUSED.flatMap(([file]) => [`${RULE} ${file}`, `${RULE} ${file}`])
    expect(problems.filter((problem) => problem.startsWith(RULE))).toEqual(expected.sort())
  })

  test('of a package with one door pass at the door and fail everywhere else', async () => {
    const files = DOORS.flatMap(([name, refused, allowed]) => [
      [refused, importing(name)],
      [allowed, importing(name)],
    ])
    const expected = DOORS.map(([, refused]) => `${RULE} ${refused}`)
    expect(await lint(Object.fromEntries(files))).toEqual(expected.sort())
  })

  test('in a cycle fail, also those of types', async () => {
    const files = {
      'src/pool/a.ts': `import type { B } from './b.ts'\n\nexport type A = B[]\n`,
      'src/pool/b.ts': `import type { A } from './a.ts'\n\nexport type B = A | number\n`,
    }
    expect(await lint(files)).toEqual([
      'lint/suspicious/noImportCycles src/pool/a.ts',
      'lint/suspicious/noImportCycles src/pool/b.ts',
    ])
  })
})

describe('files', () => {
  test('of 350 lines pass in src, longer ones fail', async () => {
    const lines = (count: number) =>
      Array.from({ length: count }, (_, index) => `export const x${index} = 1\n`).join('')
    expect(await lint({ 'src/pool/long.ts': lines(350), 'src/pool/longer.ts': lines(351) })).toEqual([
      'lint/style/noExcessiveLinesPerFile src/pool/longer.ts',
    ])
  })

  test('with another name, a default export, a re-export, a console or a floating promise fail', async () => {
    const floating =
      'async function work(): Promise<void> {}\n\nexport function start(): void {\n  work()\n}\n'
    const problems = await lint({
      'src/pool/leaf.ts': LEAF,
      'src/pool/ServerPool.ts': LEAF,
      'src/pool/default.ts': 'export default 1\n',
      'src/pool/index.ts': `export { thing } from './leaf.ts'\n`,
      'src/pool/console.ts': `console.log('x')\n`,
      'src/pool/floating.ts': floating,
    })
    expect(problems).toEqual([
      'lint/nursery/noFloatingPromises src/pool/floating.ts',
      'lint/performance/noBarrelFile src/pool/index.ts',
      'lint/style/noDefaultExport src/pool/default.ts',
      'lint/style/useFilenamingConvention src/pool/ServerPool.ts',
      'lint/suspicious/noConsole src/pool/console.ts',
    ])
  })
})
