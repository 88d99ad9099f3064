import { mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMissingSymlinks } from '../../../src/embedded/postgres-binaries.ts'

let packageFolder: string

beforeEach(async () => {
  packageFolder = await mkdtemp(join(tmpdir(), 'pooler-binaries-'))
  await mkdir(join(packageFolder, 'native/lib'), { recursive: true })
  await writeFile(join(packageFolder, 'native/lib/libpq.so.5.18'), '')
})

afterEach(async () => {
  await rm(packageFolder, { recursive: true })
})

async function list(...targets: string[]): Promise<void> {
  const symlinks = targets.map((target) => ({
    source: 'native/lib/libpq.so.5.18',
    target: `native/${target}`,
  }))
  await writeFile(join(packageFolder, 'native/pg-symlinks.json'), JSON.stringify(symlinks))
}

describe('createMissingSymlinks', () => {
  test('links point from their own folder to the file', async () => {
    await list('lib/libpq.so', 'libpq.so')
    await createMissingSymlinks(packageFolder)
    expect(await readlink(join(packageFolder, 'native/lib/libpq.so'))).toBe('libpq.so.5.18')
    expect(await readlink(join(packageFolder, 'native/libpq.so'))).toBe('lib/libpq.so.5.18')
  })

  test('links that exist stay as they are, and two at once do not disturb each other', async () => {
    await list('lib/libpq.so', 'lib/libpq.so.5')
    await symlink('elsewhere', join(packageFolder, 'native/lib/libpq.so'))
    await Promise.all([createMissingSymlinks(packageFolder), createMissingSymlinks(packageFolder)])
    expect(await readlink(join(packageFolder, 'native/lib/libpq.so'))).toBe('elsewhere')
    expect(await readlink(join(packageFolder, 'native/lib/libpq.so.5'))).toBe('libpq.so.5.18')
  })

  test('a package without a list needs no links', async () => {
    await expect(createMissingSymlinks(packageFolder)).resolves.toBeUndefined()
  })

  test('a link that cannot be made names itself and the way out', async () => {
    await list('missing-folder/libpq.so')
    await expect(createMissingSymlinks(packageFolder)).rejects.toThrow(
      /missing-folder\/libpq\.so of the PostgreSQL binaries is missing .* \(ENOENT\): run "npm rebuild"/,
    )
  })
})
