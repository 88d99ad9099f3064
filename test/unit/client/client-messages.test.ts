import { describe, expect, test } from 'vitest'
import { CLIENT_MESSAGES, LOGIN_MESSAGES, rejectClientMessage } from '../../../src/client/client-messages.ts'
import { FrontendType } from '../../../src/protocol/message-type.ts'

const SMALL = 10_000
const LARGE = 0x3fffffff
const MIB = 1024 * 1024

test('a client may send every message of the documentation but a password', () => {
  for (const [name, type] of Object.entries(FrontendType)) {
    expect([name, CLIENT_MESSAGES.needs[type] === -1]).toEqual([name, name === 'Password'])
  }
  const allowed = [...CLIENT_MESSAGES.needs].filter((need) => need !== -1)
  expect(allowed).toHaveLength(Object.keys(FrontendType).length - 1)
})

test('before its login is through a client may send passwords of up to 64 KiB and nothing else', () => {
  expect([...LOGIN_MESSAGES.needs].filter((need) => need !== -1)).toHaveLength(1)
  expect(LOGIN_MESSAGES.limits[FrontendType.Password]).toBe(64 * 1024)
})

test.each([
  ['Query', LARGE],
  ['Bind', LARGE],
  ['CopyData', LARGE],
  ['FunctionCall', LARGE],
  ['Parse', 16 * MIB],
  ['Sync', SMALL],
  ['Execute', SMALL],
  ['Describe', SMALL],
] as const)('a %s may have %i bytes', (name, limit) => {
  expect(CLIENT_MESSAGES.limits[FrontendType[name]]).toBe(limit)
})

describe('what is said about a message that may not be', () => {
  test('an unknown type has PostgreSQL’s words', () => {
    expect(rejectClientMessage(0x7a, 5)).toMatchObject({
      sqlState: '08P01',
      severity: 'FATAL',
      message: 'invalid frontend message type 122',
    })
  })

  test('a wrong length has PostgreSQL’s words', () => {
    expect(rejectClientMessage(FrontendType.Sync, 4)).toMatchObject({
      sqlState: '08P01',
      message: 'invalid message length',
    })
  })

  test('a Parse that PostgreSQL would take and the pooler cannot keep is 54000, with a way out', () => {
    expect(rejectClientMessage(FrontendType.Parse, 17 * MIB)).toMatchObject({
      sqlState: '54000',
      hint: 'Send it as a simple query.',
    })
    expect(rejectClientMessage(FrontendType.Parse, -5)).toMatchObject({ sqlState: '08P01' })
    expect(rejectClientMessage(FrontendType.Parse, LARGE + 1)).toMatchObject({ sqlState: '08P01' })
  })
})
