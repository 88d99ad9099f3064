import { describe, expect, test } from 'vitest'
import { chooseUser } from '../../../src/embedded/unprivileged-user.ts'

const ROOT = 'root:x:0:0:root:/root:/bin/bash'
const NOBODY = 'nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin'
const POSTGRES = 'postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash'

describe('chooseUser', () => {
  test('the user postgres is preferred wherever it stands', () => {
    const user = { name: 'postgres', uid: 101, gid: 104 }
    expect(chooseUser([ROOT, NOBODY, POSTGRES, ''].join('\n'))).toEqual(user)
    expect(chooseUser([POSTGRES, NOBODY, ROOT].join('\n'))).toEqual(user)
  })

  test('nobody stands in for it', () => {
    expect(chooseUser(`${ROOT}\n${NOBODY}\n`)).toEqual({ name: 'nobody', uid: 65534, gid: 65533 })
  })

  test('comments, short lines and a second root are passed over', () => {
    const passwd = [
      '# comment',
      'postgres',
      'postgres:x:0:0::/:/bin/sh',
      'postgres:x:abc:1::/:',
      NOBODY,
    ].join('\n')
    expect(chooseUser(passwd).name).toBe('nobody')
  })

  test('a machine without either is told what to do', () => {
    expect(() => chooseUser(`${ROOT}\n`)).toThrow(/neither a user "postgres" nor a user "nobody"/)
  })
})
