import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PlainSecret } from '../../../src/auth/user-secret.ts'
import { loadUserlist, parseUserlist } from '../../../src/auth/userlist.ts'
import { PoolerError } from '../../../src/errors.ts'

const MD5 = 'md54a0a68b43b6cd5cf266fa02f196e2371'

function plainPasswords(text: string): Record<string, string> {
  const entries = [...parseUserlist(text, 'users.txt')].map(([user, secret]) => {
    if (!(secret instanceof PlainSecret)) throw new Error(`${user} has no plain password`)
    return [user, secret.reveal()] as const
  })
  return Object.fromEntries(entries)
}

describe('a userlist', () => {
  test('has one user and one password a line', () => {
    expect(plainPasswords('"alice" "secret"\n"bob" "other"\n')).toEqual({ alice: 'secret', bob: 'other' })
  })

  test('may lack the last line end, end its lines with CR LF and begin with a byte order mark', () => {
    expect(plainPasswords('\ufeff"alice" "secret"\r\n"bob" "other"')).toEqual({
      alice: 'secret',
      bob: 'other',
    })
  })

  test('writes a quote as two', () => {
    expect(plainPasswords('"a""b" """"')).toEqual({ 'a"b': '"' })
  })

  test('skips empty lines, comments and the rest of a line', () => {
    const text = '; comment\n# comment\n\n   \n  "alice" \t "secret" "ignored" rest\n'
    expect(plainPasswords(text)).toEqual({ alice: 'secret' })
  })

  test('keeps comment characters inside a password', () => {
    expect(plainPasswords('"alice" "a;b#c"')).toEqual({ alice: 'a;b#c' })
  })

  test('knows empty passwords', () => {
    expect(plainPasswords('"alice" ""')).toEqual({ alice: '' })
  })

  test('gives a user who comes twice the later password', () => {
    expect(plainPasswords('"alice" "old"\n"alice" "new"')).toEqual({ alice: 'new' })
  })

  test('knows md5 secrets', () => {
    expect(parseUserlist(`"alice" "${MD5}"`, 'users.txt').get('alice')?.kind).toBe('md5')
  })

  test('may be empty', () => {
    expect(parseUserlist('', 'users.txt').size).toBe(0)
  })
})

describe('a bad line', () => {
  test.each([
    ['without quotes', 'alice topsecret'],
    ['without a password', '"alice"'],
    ['with a password that does not end', '"alice" "topsecret'],
    ['with an unquoted password', '"alice" topsecret'],
    ['with an empty user name', '"" "topsecret"'],
    ['with a damaged SCRAM secret', '"alice" "SCRAM-SHA-256$topsecret"'],
    ['with a NUL byte', '"alice" "topsecret\0"'],
  ])('%s is reported with file and line, without the secret', (_what, line) => {
    expect(() => parseUserlist(`; first\n${line}\n"bob" "x"`, '/etc/users.txt')).toThrow(
      expect.objectContaining({ sqlState: 'F0000', message: expect.stringMatching(/^\/etc\/users.txt:2: /) }),
    )
    expect(() => parseUserlist(line, 'f')).toThrow(/^(?!.*topsecret)/)
  })

  test('hides no other: all are reported at once, up to ten', () => {
    expect(() => parseUserlist('a\n"b" "b"\nc', 'f')).toThrow(/^f:1: .*\nf:3: .*$/)
    expect(() => parseUserlist('x\n'.repeat(12), 'f')).toThrow(/f:10: .*\nand 2 more$/)
  })

  test('is no secret: no text makes the parser throw anything but a PoolerError', () => {
    const text = fc.array(fc.oneof(fc.string(), fc.constantFrom('"', '""', '"a" "b"', '\n', ' ', ';')))
    fc.assert(
      fc.property(text, (parts) => {
        try {
          parseUserlist(parts.join(''), 'f')
        } catch (error) {
          expect(error).toBeInstanceOf(PoolerError)
        }
      }),
    )
  })
})

describe('a file', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'userlist-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('is read', async () => {
    const path = join(folder, 'good.txt')
    await writeFile(path, '"alice" "pässword"\n')
    expect([...(await loadUserlist(path)).keys()]).toEqual(['alice'])
  })

  test('that is missing is named', async () => {
    const path = join(folder, 'missing.txt')
    await expect(loadUserlist(path)).rejects.toMatchObject({
      sqlState: 'F0000',
      message: `cannot read auth_file ${path}: ENOENT; create it or make it readable`,
    })
  })

  test('that is a folder is named', async () => {
    await expect(loadUserlist(folder)).rejects.toThrow(/cannot read auth_file .*EISDIR/)
  })

  test('that is not UTF-8 is refused: its passwords would silently be others', async () => {
    const path = join(folder, 'latin1.txt')
    await writeFile(path, Buffer.from('"alice" "p\xe4"', 'latin1'))
    await expect(loadUserlist(path)).rejects.toThrow(/is not UTF-8/)
  })
})
