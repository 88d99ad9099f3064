import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ConfigProblem } from '../../../src/config/config-error.ts'
import { readIniEntries } from '../../../src/config/ini-entries.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-ini-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** The entries of a file as [section, key, value], and its problems, without the folder. */
async function read(text: string): Promise<{ entries: (string | undefined)[][]; problems: string[] }> {
  const path = join(folder, 'main.ini')
  await writeFile(path, text)
  const problems: ConfigProblem[] = []
  const entries = await readIniEntries(path, problems)
  return {
    entries: entries.map(({ section, key, value }) => [section, key, value]),
    problems: problems.map(({ file, message }) => `${file}: ${message}`.replaceAll(`${folder}/`, '')),
  }
}

/** What one line in [s] becomes. */
async function entryOf(line: string): Promise<(string | undefined)[] | undefined> {
  const { entries, problems } = await read(`[s]\n${line}\n`)
  expect(problems).toEqual([])
  return entries[1]?.slice(1)
}

describe('a line', () => {
  test.each([
    ['key=value', 'key', 'value'],
    ['  key \t=\t value \t ', 'key', 'value'],
    ['key =', 'key', ''],
    ['key = a = b', 'key', 'a = b'],
    ['key = value ; no comment # here', 'key', 'value ; no comment # here'],
    ['key = \'kept\' "as it is"', 'key', '\'kept\' "as it is"'],
    ['* = host=x', '*', 'host=x'],
    ['my.db-1_x* =', 'my.db-1_x*', ''],
    ['größe = 1', 'größe', '1'],
    ["'single quoted' = 1", 'single quoted', '1'],
    ['"double quoted"= 1', 'double quoted', '1'],
    ["'it''s; #=[x]' = 1", "it's; #=[x]", '1'],
    ['"a""b" = 1', 'a"b', '1'],
    ["'' = 1", '', '1'],
  ])('%j', async (line, key, value) => {
    expect(await entryOf(line)).toEqual([key, value])
  })

  test.each(['; comment', '# comment', ' \t; comment', '', '   ', ';key = value', '#%include x'])(
    '%j is nothing',
    async (line) => {
      expect(await entryOf(line)).toBeUndefined()
    },
  )

  test.each([
    'key',
    'key value',
    'my db = 1',
    "'open = 1",
    '"open = 1',
    '[open',
    '= 1',
    '%includex',
    '%include',
  ])('%j is an error with its number, and reading goes on', async (line) => {
    expect(await read(`[s]\na = 1\n${line}\nb = 2\n`)).toEqual({
      entries: [
        ['s', undefined, ''],
        ['s', 'a', '1'],
        ['s', 'b', '2'],
      ],
      problems: ['main.ini:3: expected [section], key = value, ; comment or %include file'],
    })
  })
})

describe('a section', () => {
  test('may come again, be empty, and have something behind it', async () => {
    const { entries, problems } = await read('[a] x = 1\r\n[b] ; nothing\r\n[a][c]\r\ny = 2\r\n')
    expect(problems).toEqual([])
    expect(entries).toEqual([
      ['a', undefined, ''],
      ['a', 'x', '1'],
      ['b', undefined, ''],
      ['a', undefined, ''],
      ['c', undefined, ''],
      ['c', 'y', '2'],
    ])
  })

  test('is needed', async () => {
    expect((await read('x = 1')).problems).toEqual([
      'main.ini:1: a setting needs a section; write [pgbouncer] above it',
    ])
  })
})

describe('%include', () => {
  test('reads another file where it stands; sections go in and come out', async () => {
    const path = join(folder, 'other file.ini')
    await writeFile(path, 'b = 2\n[t]\nc = 3\n')
    const { entries, problems } = await read(`[s]\na = 1\n  %include \t ${path}  \nd = 4\n`)
    expect(problems).toEqual([])
    expect(entries.filter(([, key]) => key !== undefined)).toEqual([
      ['s', 'a', '1'],
      ['s', 'b', '2'],
      ['t', 'c', '3'],
      ['t', 'd', '4'],
    ])
  })

  test('of a relative path begins at the working directory, not at the file', async () => {
    await writeFile(join(folder, 'other.ini'), '')
    expect((await read('[s]\n%include other.ini\n')).problems).toEqual([
      'main.ini:2: %include other.ini: no such configuration file; check the path',
    ])
  })

  test('of a file that has errors names that file and its lines', async () => {
    const path = join(folder, 'other.ini')
    await writeFile(path, '\n!\n')
    expect((await read(`[s]\n%include ${path}\n`)).problems).toEqual([
      'other.ini:2: expected [section], key = value, ; comment or %include file',
    ])
  })

  test('ten deep works, in a circle it is an error', async () => {
    for (let depth = 1; depth <= 10; depth++) {
      const next = depth < 10 ? `%include ${join(folder, `${depth + 1}.ini`)}` : 'deep = 1'
      await writeFile(join(folder, `${depth}.ini`), `${next}\n`)
    }
    const deep = await read(`[s]\n%include ${join(folder, '1.ini')}\n`)
    expect(deep).toEqual({
      entries: [
        ['s', undefined, ''],
        ['s', 'deep', '1'],
      ],
      problems: [],
    })
    const circle = await read(`[s]\n%include ${join(folder, 'main.ini')}\n`)
    expect(circle.problems).toEqual([
      'main.ini:2: %include main.ini: files are included more than 10 deep; is it a circle?',
    ])
  })
})
