import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deriveScramKeys } from '../../../src/auth/scram-keys.ts'
import { parseScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { query } from '../../support/test-cluster.ts'

/** Passwords that PostgreSQL prepares: whatever they are made of, the pooler derives the same keys. */

const ROLE = 'saslprep_test'

/** Characters of every kind that SASLprep tells apart, and of both writing directions. */
const CHARACTERS = [
  ...'aZ1 !\u0007',
  ...'\u00e4\u0308\u0301\u0653\u05b7\u0345',
  ...'\u05d0\u05d1\u0627\u0644\u0622\u06ff\u0660\u200f\u200e',
  ...'\u2135\u2100\u2168\u00aa\u00bd\u2460\ufb1d\ufb2a\ufb01\ufefb\ufdfa\uff21\u3000\u00a0',
  ...'\u00ad\u200b\u200d\ufe0f\u0340\u2028\ufffd\ue000',
  ...'\u{1f130}\u{1f062}\u{1d400}\u{2f868}\u{e0001}\u{10300}',
]

/** One statement with all passwords: the secrets that PostgreSQL makes of them. */
async function secretsOf(passwords: readonly string[]): Promise<string[]> {
  const { host, port, user, password, database } = sharedPostgres()
  const literals = passwords.map((text) => `U&'${escaped(text)}'`)
  const rows = await query(
    { host, port, user, password, database },
    `CREATE TEMPORARY TABLE passwords (id serial, text text, secret text);
     INSERT INTO passwords (text) VALUES ${literals.map((literal) => `(${literal})`).join(', ')};
     SET password_encryption = 'scram-sha-256';
     SET scram_iterations = 1;
     BEGIN;
     CREATE ROLE ${ROLE} LOGIN;
     DO $$
       DECLARE row passwords%ROWTYPE;
       BEGIN
         FOR row IN SELECT * FROM passwords ORDER BY id LOOP
           EXECUTE format('ALTER ROLE ${ROLE} PASSWORD %L', row.text);
           UPDATE passwords SET secret = rolpassword FROM pg_authid WHERE rolname = '${ROLE}' AND id = row.id;
         END LOOP;
       END
     $$;
     CREATE TEMPORARY TABLE result AS SELECT * FROM passwords;
     DROP ROLE ${ROLE};
     COMMIT;
     SELECT secret FROM result ORDER BY id`,
  )
  return rows.map(({ secret }) => String(secret))
}

function escaped(text: string): string {
  return Array.from(
    text,
    (character) => `\\+${character.codePointAt(0)?.toString(16).padStart(6, '0')}`,
  ).join('')
}

async function isSecretOf(secret: string, password: string): Promise<boolean> {
  const verifier = parseScramVerifier(secret)
  if (verifier === undefined) throw new Error('not a SCRAM secret')
  const { storedKey } = await deriveScramKeys(password, verifier.salt, verifier.iterations)
  return storedKey.equals(verifier.storedKey)
}

test('PostgreSQL and the pooler prepare all mixtures of characters alike', async () => {
  const texts = fc.array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 4 })
  const random = fc.sample(
    texts.map((parts) => parts.join('')),
    2000,
  )
  const passwords = [...CHARACTERS, ...CHARACTERS.map((character) => `\u05d0${character}\u05d0`), ...random]
  const secrets = await secretsOf(passwords)
  expect(secrets.length).toBe(passwords.length)
  const different: string[] = []
  for (const [index, password] of passwords.entries()) {
    if (!(await isSecretOf(secrets[index] as string, password))) different.push(escaped(password))
  }
  expect(different).toEqual([])
})
