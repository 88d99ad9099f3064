import { describe, expect, test } from 'vitest'
import { preparePassword } from '../../../src/auth/saslprep.ts'
import { deriveScramKeys } from '../../../src/auth/scram-keys.ts'
import { parseScramVerifier } from '../../../src/auth/scram-verifier.ts'

// What PostgreSQL 18 stored for these passwords with CREATE ROLE ... PASSWORD.
const STORED_BY_POSTGRESQL: readonly (readonly [what: string, password: string, secret: string])[] = [
  [
    'ASCII',
    'pencil',
    'SCRAM-SHA-256$4096:3v7gmzL88GvWnfJA88Ey4Q==$fkntfhIkw+iY09HZc63Ch8PcWKgB2WJSNL8IufctcTs=:k99mB+/xcks+zjbQm+AG6KD1aYinSbGqT0TzbDfq3EI=',
  ],
  [
    'composed letters',
    'p\u00e4ssw\u00f6rd',
    'SCRAM-SHA-256$4096:5jS4ezGi1PNuxPYmZV4uLw==$p5QMugl1HwljB1MNNKyb/RBCFyZmvOzJtpbmnbAzd0g=:9jj7/8vvzSveip6kHWegdbItSs52JfK63T4jXOWeAfM=',
  ],
  [
    'a decomposed letter',
    'pa\u0308ss',
    'SCRAM-SHA-256$4096:FKIxv7txk1ICyP2KOwQ5uQ==$gTk/22dxxtm9NIZjhxsesYEx0BUz/6sV07WnD4ESqfQ=:MS1max7+qWcFzKjsVzrz7KnJm083nfvMdvUBs6hNgmU=',
  ],
  [
    'a soft hyphen, which is dropped',
    'I\u00adX',
    'SCRAM-SHA-256$4096:DSvfHUtzJMtjdB5nQaxMXA==$8MsG3q+M/dXWy/MeSqC931oQsStvwN0SiOcAz1/oj6w=:v1O7BBfVYw/zqOcQXkur9FPhfhZ09zr0/9qIXj3Hy3c=',
  ],
  [
    'a Roman numeral, which becomes letters',
    '\u2168',
    'SCRAM-SHA-256$4096:C3VH5M4FwEF6cYB8M9ZesA==$K+vb6ag5Pv31MpmdW3cqNkyaDIip+78cLBzxZ0hNHRM=:Y725RNVsxIVohRBwUUbkmmcGdwJEsThzSx3mWgUTS+c=',
  ],
  [
    'a no-break space, which becomes a space',
    'a\u00a0b',
    'SCRAM-SHA-256$4096:wYgvNG9ZOnLzgf8jIdOXCA==$Q+sYMEhjHWlpFvjlXcMicPGQesRtXahIf7N2fs5zhx0=:jNDfH5Vb6e3IQNOhpzaOg8CX5vxmTPmZ75Q15h6u7jk=',
  ],
  [
    'a zero width space and a soft hyphen',
    '\u200b\u00ad',
    'SCRAM-SHA-256$4096:R4Nxr7kQU2zW7J9WEQOHFw==$nBV+EJRHBBx+eVPihXKqoXX85CJLwj1Tf7Bn+tdLV4I=:rWRXqghSzIUTtoGvwplqw2J+NoeNMI6g8QEafAXSV5c=',
  ],
  [
    'characters that Unicode 3.2 did not have',
    '\u{1f062}\u{1f197}',
    'SCRAM-SHA-256$4096:NoSEcdLOVUvmmntnsiRYDA==$sBILN3eDyii7+HgI3YIu0S4pLxOAhYIli4tOZKI4OFQ=:QsiReuf5pX3Njhl2+SmxkzNi2iZzumbWRNBE7moTg9g=',
  ],
  [
    'a newer character that normalises to an old one',
    '\u{1f130}bc',
    'SCRAM-SHA-256$4096:QHNarCmI0XeXObbEtZwPPA==$EiA9tvC0LZjwP16KZgibbV2kOcoL56VjeX1AiRseSKk=:FUNb3spSFl0VBSZZBm6VDRxt/3vQmS2zt1Q7WIASngI=',
  ],
  [
    'a prohibited character that normalises to a good one',
    'a\u0340b',
    'SCRAM-SHA-256$4096:gkFngyZNJyyrHbgazrTYMQ==$yHxrlyhyMClkkme6YYFWnsbcFy+ZdxhV+JXO6QQ/A1U=:3iFlDLUxu8G2SEehaH1DC2p/hBpEh3JAFYKWVnRdpQI=',
  ],
  [
    'Hebrew letters',
    '\u05d0\u05d1',
    'SCRAM-SHA-256$4096:Ugb6TldHc2UoPFMlQ+QBig==$vUIagMBZO65YjgzPCeKVIM6vsPUVtJtF+GChFnE7g4E=:GSRCRW+ealV7kZOC5kqBPtJajl0ywWSYodbCGL28YeY=',
  ],
  [
    'a symbol without direction that becomes Latin letters, between Hebrew ones',
    '\u05d0\u2100\u05d0',
    'SCRAM-SHA-256$4096:fVx1WqjjcS23HHi6/GqVkA==$X0o2ulbbFgphKNFaYWX5NKq0bMq0ap6Qtpu+kovRl54=:v/KyWx43sRRiNMvQ8PwXFDab3EcOPH/l9Xmi1jEFoeY=',
  ],
  [
    'a left-to-right symbol that becomes a Hebrew letter, between others',
    '\u05d0\u2135\u05d0',
    'SCRAM-SHA-256$4096:yFHkmhjXFfFFRt3l8N6Hwg==$XEAKLlo9vG3NxNs8IHK+3nDAe51EXl8pxxr7bzTB+kc=:Zw3ViW30RHh4yy8XBbCg4i2FGgWXI+YKhmWEXh70HDQ=',
  ],
  [
    'an Arabic letter and a mark that compose',
    '\u0627\u0653',
    'SCRAM-SHA-256$4096:T2sCHr9t1h9Qp9PqB7i9pg==$48qVblpUOJghGA/uae9lvFg9LETQ9A5ZzDeszb2RKJ8=:bcXdfDRWPG4Y1/AGrs0m0YkBY0M/wmQ5QcnlmXdKIFU=',
  ],
  [
    'a Hebrew letter that becomes one with a mark, at the end',
    '\u05d0\ufb2a',
    'SCRAM-SHA-256$4096:InlCBG2JojgkNARZpD/VDg==$bJpMlIARlKiw/7B7JXUHtpnwokl6tVAFYbDFFJGsE20=:o88dq1mdFXVSDHzfYtjYQAzByjXAbI5i9SKhoQ67VZU=',
  ],
]

describe('the keys of a password are those that PostgreSQL derives', () => {
  test.each(STORED_BY_POSTGRESQL)('%s', async (_what, password, secret) => {
    const verifier = parseScramVerifier(secret)
    if (verifier === undefined) throw new Error('the secret is not well-formed')
    const keys = await deriveScramKeys(password, verifier.salt, verifier.iterations)
    expect(keys.storedKey).toEqual(verifier.storedKey)
    expect(keys.serverKey).toEqual(verifier.serverKey)
  })
})

describe('a password that cannot be prepared stays as it is', () => {
  test.each([
    ['a control character beside others', 'ü\u0007'],
    ['letters of both writing directions', '\u05d0ü'],
    ['nothing left after mapping', '\u00ad'],
  ])('%s', (_what, password) => {
    expect(preparePassword(password)).toEqual(Buffer.from(password))
  })

  test('bytes that are no UTF-8', () => {
    const latin1 = Buffer.from([0x70, 0xe4])
    expect(preparePassword(latin1)).toEqual(latin1)
  })

  test('control characters in ASCII', () => {
    expect(preparePassword('a\u0001\u007f')).toEqual(Buffer.from('a\u0001\u007f'))
  })
})

test('a very long password is prepared too', () => {
  expect(preparePassword('\u00aa'.repeat(2048)).toString()).toBe('a'.repeat(2048))
})

test('what is longer than any password is taken as it is: preparing it would hold up everybody else', () => {
  const long = Buffer.from('\u00aa'.repeat(30_000))
  expect(preparePassword(long) === long).toBe(true)
})
