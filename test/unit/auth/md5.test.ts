import { expect, test } from 'vitest'
import { md5Response, md5Secret } from '../../../src/auth/md5.ts'

// PostgreSQL stored this for: SET password_encryption = 'md5'; CREATE ROLE alice PASSWORD 'secret'
const STORED = 'md54a0a68b43b6cd5cf266fa02f196e2371'

test('a password and a user name give the secret that PostgreSQL stores', () => {
  expect(md5Secret('secret', 'alice')).toBe(STORED)
  expect(md5Secret(Buffer.from('secret'), 'alice')).toBe(STORED)
})

test('the response hashes the digits of the secret with the salt', () => {
  // md5('4a0a68b43b6cd5cf266fa02f196e2371' || '\x01020304'), computed with another implementation
  expect(md5Response(STORED, Buffer.from([1, 2, 3, 4]))).toBe('md598a0412b9c31436fc53776e863350083')
})
