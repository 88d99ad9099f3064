import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { ScramServer } from '../../../src/auth/scram-server.ts'
import { makeScramVerifier, type ScramVerifier } from '../../../src/auth/scram-verifier.ts'
import { PlainSecret } from '../../../src/auth/user-secret.ts'
import { PoolerError } from '../../../src/errors.ts'

// The dialogue of RFC 7677, section 3.
const CLIENT_NONCE = 'rOprNGfwEbeRWgbNEkqO'
const SERVER_NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const SALT = 'W22ZaJ0SNY7soEsUEjb6gQ=='
const CLIENT_FIRST = `n,,n=user,r=${CLIENT_NONCE}`
const SERVER_FIRST = `r=${CLIENT_NONCE}${SERVER_NONCE},s=${SALT},i=4096`
const WITHOUT_PROOF = `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE}`
const PROOF = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const CLIENT_FINAL = `${WITHOUT_PROOF},p=${PROOF}`
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

const verifier: ScramVerifier = await makeScramVerifier('pencil', Buffer.from(SALT, 'base64'))

function server(): ScramServer {
  return new ScramServer(verifier, { serverNonce: SERVER_NONCE })
}

function client(password = 'pencil'): ScramClient {
  return new ScramClient(new PlainSecret(password), { nonce: CLIENT_NONCE, user: 'user' })
}

function violation(message: RegExp, sqlState = '08P01'): unknown {
  return expect.objectContaining({ sqlState, message: expect.stringMatching(message) })
}

describe('the dialogue of RFC 7677', () => {
  test('the server says what the RFC says', () => {
    const scram = server()
    expect(scram.firstMessage(Buffer.from(CLIENT_FIRST))).toBe(SERVER_FIRST)
    expect(scram.finalMessage(Buffer.from(CLIENT_FINAL))).toBe(SERVER_FINAL)
  })

  test('the client says what the RFC says', async () => {
    const scram = client()
    expect(scram.firstMessage()).toBe(CLIENT_FIRST)
    expect(await scram.finalMessage(Buffer.from(SERVER_FIRST))).toBe(CLIENT_FINAL)
    scram.verify(Buffer.from(SERVER_FINAL))
  })
})

describe('the server', () => {
  test('does not accept the proof of another password', async () => {
    const scram = server()
    scram.firstMessage(Buffer.from(CLIENT_FIRST))
    const wrong = await client('pencils').finalMessage(Buffer.from(SERVER_FIRST))
    expect(scram.finalMessage(Buffer.from(wrong))).toBeUndefined()
  })

  test('does not accept a proof for another nonce', () => {
    const scram = new ScramServer(verifier, { serverNonce: 'another' })
    scram.firstMessage(Buffer.from(CLIENT_FIRST))
    const replayed = `c=biws,r=${CLIENT_NONCE}another,p=${PROOF}`
    expect(scram.finalMessage(Buffer.from(replayed))).toBeUndefined()
  })

  test('makes a nonce of its own for each dialogue', () => {
    const [one, two] = [new ScramServer(verifier), new ScramServer(verifier)]
    const first = Buffer.from(CLIENT_FIRST)
    expect(one.firstMessage(first)).not.toBe(two.firstMessage(first))
  })

  test('accepts a client that could have bound the channel, if it repeats that flag', () => {
    const scram = server()
    expect(scram.firstMessage(Buffer.from(`y,,n=,r=${CLIENT_NONCE}`))).toBe(SERVER_FIRST)
    expect(() => scram.finalMessage(Buffer.from(CLIENT_FINAL))).toThrow(violation(/channel binding/))
    const repeated = CLIENT_FINAL.replace('biws', Buffer.from('y,,').toString('base64'))
    expect(scram.finalMessage(Buffer.from(repeated))).toBeUndefined()
  })

  test('skips extensions that it does not know', () => {
    const scram = server()
    expect(scram.firstMessage(Buffer.from(`${CLIENT_FIRST},x=1`))).toBe(SERVER_FIRST)
    expect(scram.finalMessage(Buffer.from(`${WITHOUT_PROOF},x=1,p=${PROOF}`))).toBeUndefined()
  })

  test.each([
    ['nothing', '', /gs2 header/],
    ['no gs2 header', `n=user,r=${CLIENT_NONCE}`, /gs2 header/],
    ['an unknown flag', `x,,n=,r=${CLIENT_NONCE}`, /gs2 header/],
    ['channel binding', `p=tls-server-end-point,,n=,r=${CLIENT_NONCE}`, /chose SCRAM-SHA-256 without it/],
    ['an extension that must be known', `n,,m=1,n=,r=${CLIENT_NONCE}`, /requires an extension/],
    ['no user name', `n,,r=${CLIENT_NONCE}`, /"n" is missing/],
    ['no nonce', 'n,,n=user', /"r" is missing/],
    ['an empty nonce', 'n,,n=,r=', /nonce is empty/],
    ['a nonce with a control character', 'n,,n=,r=a\u0001b', /not printable/],
    ['a nonce with a NUL', 'n,,n=,r=ab\0', /not printable/],
    ['a nonce of 1025 bytes', `n,,n=,r=${'x'.repeat(1025)}`, /1025 bytes/],
    ['an attribute without a name', 'n,,n=,r=abc,=', /name=value/],
    ['a comma at the end', 'n,,n=,r=abc,', /name=value/],
  ])('refuses a client-first message with %s', (_what, text, message) => {
    expect(() => server().firstMessage(Buffer.from(text))).toThrow(violation(message))
  })

  test('refuses an authorization identity as a feature that it lacks', () => {
    const text = `n,a=root,n=,r=${CLIENT_NONCE}`
    expect(() => server().firstMessage(Buffer.from(text))).toThrow(
      violation(/authorization identity/, '0A000'),
    )
  })

  test.each([
    ['nothing', '', /name=value/],
    ['no channel binding', `r=${CLIENT_NONCE}${SERVER_NONCE},p=${PROOF}`, /"c" is missing/],
    ['another channel binding', CLIENT_FINAL.replace('biws', 'eSws'), /channel binding/],
    ['no nonce', `c=biws,p=${PROOF}`, /"r" is missing/],
    ['the nonce of the client alone', `c=biws,r=${CLIENT_NONCE},p=${PROOF}`, /nonce does not match/],
    ['no proof', WITHOUT_PROOF, /"p" is missing/],
    ['a proof before the end', `${CLIENT_FINAL},x=1`, /"p" is missing/],
    ['a proof that is not base64', `${WITHOUT_PROOF},p=${PROOF.slice(1)}`, /32 bytes/],
    ['an empty proof', `${WITHOUT_PROOF},p=`, /32 bytes/],
    ['a long proof', `${WITHOUT_PROOF},p=${Buffer.alloc(33).toString('base64')}`, /32 bytes/],
  ])('refuses a client-final message with %s', (_what, text, message) => {
    const scram = server()
    scram.firstMessage(Buffer.from(CLIENT_FIRST))
    expect(() => scram.finalMessage(Buffer.from(text))).toThrow(violation(message))
  })
})

describe('the client', () => {
  test('makes a nonce of its own for each dialogue', () => {
    const secret = new PlainSecret('pencil')
    expect(new ScramClient(secret).firstMessage()).not.toBe(new ScramClient(secret).firstMessage())
  })

  test('escapes the user name', () => {
    const scram = new ScramClient(new PlainSecret('pencil'), { nonce: 'n', user: 'a=b,c' })
    expect(scram.firstMessage()).toBe('n,,n=a=3Db=2Cc,r=n')
  })

  test.each([
    ['nothing', '', /name=value/],
    ['another nonce', `r=x${SERVER_NONCE},s=${SALT},i=4096`, /does not continue ours/],
    ['no nonce of the server', `r=${CLIENT_NONCE},s=${SALT},i=4096`, /does not continue ours/],
    ['a nonce of 64 KiB', `r=${CLIENT_NONCE}${'x'.repeat(65_516)},s=${SALT},i=4096`, /limit is 1024/],
    ['no salt', `r=${CLIENT_NONCE}x,i=4096`, /"s" is missing/],
    ['an empty salt', `r=${CLIENT_NONCE}x,s=,i=4096`, /salt is not base64/],
    ['a salt that is not base64', `r=${CLIENT_NONCE}x,s=*,i=4096`, /salt is not base64/],
    ['a salt of 1.5 KiB', `r=${CLIENT_NONCE}x,s=${'AAAA'.repeat(512)},i=4096`, /1 to 1024 bytes/],
    ['no iteration count', `r=${CLIENT_NONCE}x,s=${SALT}`, /"i" is missing/],
    ['an empty iteration count', `r=${CLIENT_NONCE}x,s=${SALT},i=`, /iteration count/],
    ['iteration count 0', `r=${CLIENT_NONCE}x,s=${SALT},i=0`, /from 1 to 1000000/],
    ['iteration count -1', `r=${CLIENT_NONCE}x,s=${SALT},i=-1`, /from 1 to 1000000/],
    ['iteration count 1000001', `r=${CLIENT_NONCE}x,s=${SALT},i=1000001`, /from 1 to 1000000/],
    ['iteration count 2^31', `r=${CLIENT_NONCE}x,s=${SALT},i=2147483648`, /from 1 to 1000000/],
    ['iteration count 1e3', `r=${CLIENT_NONCE}x,s=${SALT},i=1e3`, /from 1 to 1000000/],
    ['an extension that must be known', `m=1,r=${CLIENT_NONCE}x,s=${SALT},i=4096`, /requires an extension/],
  ])('refuses a server-first message with %s', (_what, text, message) => {
    expect(() => client().finalMessage(Buffer.from(text))).toThrow(violation(message))
  })

  test.each([
    ['nothing', '', /name=value/, '08P01'],
    ['no signature', 'x=1', /"v" is missing/, '08P01'],
    ['a signature that is not base64', 'v=***', /signature is not base64/, '08P01'],
    ['a short signature', 'v=AAAA', /32 bytes/, '08P01'],
    ['a wrong signature', `v=${Buffer.alloc(32).toString('base64')}`, /could not prove/, '28000'],
    ['an error', 'e=other-error', /other-error/, '28000'],
  ])('refuses a server-final message with %s', async (_what, text, message, sqlState) => {
    const scram = client()
    await scram.finalMessage(Buffer.from(SERVER_FIRST))
    expect(() => scram.verify(Buffer.from(text))).toThrow(violation(message, sqlState))
  })

  test('quotes only the beginning of a long error of the server', async () => {
    const scram = client()
    await scram.finalMessage(Buffer.from(SERVER_FIRST))
    expect(() => scram.verify(Buffer.from(`e=${'x'.repeat(60_000)}`))).toThrow(
      violation(/^.{100,300}$/, '28000'),
    )
  })

  test('refuses a server-final message before it has proved anything', () => {
    expect(() => client().verify(Buffer.from(SERVER_FINAL))).toThrow(violation(/came before/))
  })
})

test('no bytes make either side throw anything but a PoolerError', () => {
  const scramText = fc
    .array(
      fc.oneof(
        fc.string({ maxLength: 20 }),
        fc.constantFrom(
          'n',
          'y',
          '',
          'p=',
          'n=',
          'r=',
          `r=${CLIENT_NONCE}x`,
          `s=${SALT}`,
          'i=1',
          'c=biws',
          'v=',
          'e=',
        ),
      ),
      { maxLength: 8 },
    )
    .map((parts) => Buffer.from(parts.join(',')))
  const bytes = fc.oneof(
    scramText,
    fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array)),
  )
  const readers = [
    (data: Buffer) => server().firstMessage(data),
    (data: Buffer) => {
      const scram = server()
      scram.firstMessage(Buffer.from(CLIENT_FIRST))
      return scram.finalMessage(data)
    },
    (data: Buffer) => client().finalMessage(data),
    (data: Buffer) => client().verify(data),
  ]
  fc.assert(
    fc.property(fc.constantFrom(...readers), bytes, (reader, data) => {
      try {
        reader(data)
      } catch (error) {
        expect(error).toBeInstanceOf(PoolerError)
      }
    }),
    { numRuns: 1000 },
  )
})
