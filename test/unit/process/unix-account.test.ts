import { userInfo } from 'node:os'
import { expect, test } from 'vitest'
import { becomeUser, findAccount } from '../../../src/process/unix-account.ts'

const PASSWD =
  'root:x:0:0:root:/root:/bin/bash\nbroken:x\napp:x:1001:1002:,,,:/home/app:/bin/sh\nplus:x:-1:5::/:\n'

test('an account is found by its whole name, with its numbers', () => {
  expect(findAccount(PASSWD, 'app')).toEqual({ uid: 1001, gid: 1002 })
  for (const name of ['ap', 'broken', 'plus', '']) expect(findAccount(PASSWD, name)).toBeUndefined()
})

test('a user who does not exist cannot be become', async () => {
  await expect(becomeUser('no such user')).rejects.toMatchObject({
    sqlState: 'F0000',
    message: expect.stringMatching(/^user: there is no user "no such user" in \/etc\/passwd; /),
  })
})

test('becoming who one is already does nothing', async () => {
  await becomeUser(userInfo().username)
})
