import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Pidfile } from '../../../src/process/pidfile.ts'

/** The file of the process's number: what it replaces, what it refuses to, and that it goes. */

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-pidfile-'))
  path = join(folder, 'pooler.pid')
})
afterEach(() => rm(folder, { recursive: true }))

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'close')
  return child.pid as number
}

test('a pidfile holds the number of the process and nothing is left beside it', async () => {
  const pidfile = await Pidfile.claim(path)
  expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`)
  expect((await stat(path)).mode & 0o133, 'everybody may read it, nobody else write it').toBe(0)
  expect(await readdir(folder)).toEqual(['pooler.pid'])
  pidfile.remove()
  expect(await readdir(folder)).toEqual([])
  pidfile.remove()
})

describe('a pidfile that is there already', () => {
  test('of a process that is gone is replaced', async () => {
    await writeFile(path, `${await deadPid()}\n`)
    await Pidfile.claim(path)
    expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`)
  })

  test.each([
    ['with nothing in it', ''],
    ['with the number of this process', `${process.pid}\n`],
    ['with the number of the process that started this one', `${process.ppid}`],
  ])('%s is replaced', async (_what, text) => {
    await writeFile(path, text)
    await Pidfile.claim(path)
    expect(await readFile(path, 'utf8')).toBe(`${process.pid}\n`)
  })

  test('of a living process stays, and the sentence names it', async () => {
    const child = spawn('sleep', ['600'])
    await writeFile(path, `${child.pid}\n`)
    await expect(Pidfile.claim(path)).rejects.toThrow(
      `pidfile: another pooler runs with this file (${path}), as process ${child.pid}: stop it, or remove the file if that process is something else`,
    )
    expect(await readFile(path, 'utf8')).toBe(`${child.pid}\n`)
    expect(await readdir(folder)).toEqual(['pooler.pid'])
    child.kill('SIGKILL')
  })

  test.each(['listen_port = 6432\n', '-1\n', '12 34', '0'])('but is none (%j) stays', async (text) => {
    await writeFile(path, text)
    await expect(Pidfile.claim(path)).rejects.toThrow('holds no process number: choose another file')
    expect(await readFile(path, 'utf8')).toBe(text)
  })

  test('that another process has taken over is not removed', async () => {
    const pidfile = await Pidfile.claim(path)
    await writeFile(path, '1\n')
    pidfile.remove()
    expect(await readFile(path, 'utf8')).toBe('1\n')
  })
})

test('a folder that does not exist, or is none, is an error that says so', async () => {
  await expect(Pidfile.claim(join(folder, 'missing', 'pid'))).rejects.toThrow('its folder does not exist')
  await writeFile(path, '')
  await expect(Pidfile.claim(join(path, 'pid'))).rejects.toThrow('its folder is no folder')
})
