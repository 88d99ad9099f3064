import { describe, expect, test } from 'vitest'
import {
  formatScramVerifier,
  makeScramVerifier,
  mockScramVerifier,
  parseScramVerifier,
} from '../../../src/auth/scram-verifier.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const SALT = Buffer.from('sixteen bytes...').toString('base64')

test('a verifier that is formatted is parsed back', async () => {
  const verifier = await makeScramVerifier('pencil')
  expect(parseScramVerifier(formatScramVerifier(verifier))).toEqual(verifier)
})

test('the password and salt of RFC 7677 give a verifier with its stored key', async () => {
  const verifier = await makeScramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))
  expect(formatScramVerifier(verifier)).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})

describe('what is not well-formed is no verifier', () => {
  test.each([
    ['no iterations', `SCRAM-SHA-256$:${SALT}$${KEY}:${KEY}`],
    ['iteration count 0', `SCRAM-SHA-256$0:${SALT}$${KEY}:${KEY}`],
    ['a negative iteration count', `SCRAM-SHA-256$-1:${SALT}$${KEY}:${KEY}`],
    ['iteration count 2^31', `SCRAM-SHA-256$2147483648:${SALT}$${KEY}:${KEY}`],
    ['an iteration count of many digits', `SCRAM-SHA-256$${'9'.repeat(400)}:${SALT}$${KEY}:${KEY}`],
    ['no salt', `SCRAM-SHA-256$4096:$${KEY}:${KEY}`],
    ['a salt that is not base64', `SCRAM-SHA-256$4096:s!lt$${KEY}:${KEY}`],
    ['a huge salt', `SCRAM-SHA-256$4096:${'AAAA'.repeat(400)}$${KEY}:${KEY}`],
    ['a short stored key', `SCRAM-SHA-256$4096:${SALT}$AAAA:${KEY}`],
    ['a short server key', `SCRAM-SHA-256$4096:${SALT}$${KEY}:AAAA`],
    ['no server key', `SCRAM-SHA-256$4096:${SALT}$${KEY}`],
    ['more behind it', `SCRAM-SHA-256$4096:${SALT}$${KEY}:${KEY}:`],
    ['another mechanism', `SCRAM-SHA-1$4096:${SALT}$${KEY}:${KEY}`],
    ['nothing', ''],
  ])('%s', (_what, text) => {
    expect(parseScramVerifier(text)).toBeUndefined()
  })
})

describe('mock verifiers', () => {
  test('a user who asks twice sees the same salt', () => {
    expect(mockScramVerifier('eve')).toEqual(mockScramVerifier('eve'))
  })

  test('two users see different salts', () => {
    expect(mockScramVerifier('eve').salt).not.toEqual(mockScramVerifier('mallory').salt)
  })

  test('salt and iteration count look like those of a user who exists', async () => {
    const [mock, real] = [mockScramVerifier('eve'), await makeScramVerifier('pencil')]
    expect(mock.salt.length).toBe(real.salt.length)
    expect(mock.iterations).toBe(real.iterations)
  })
})
