import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseHba } from '../../../src/auth/hba.ts'
import { PoolerError } from '../../../src/errors.ts'
import { anyText } from '../../support/any-text.ts'
import { filesOf } from './access-files-of.ts'

function problemsOf(text: string, files: Readonly<Record<string, string>> = {}): string[] {
  try {
    parseHba(text, '/etc/pg_hba.conf', filesOf(files), () => [])
    return []
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    expect(error.sqlState).toBe('F0000')
    return error.message.split('\n')
  }
}

function sources(text: string, files: Readonly<Record<string, string>>): string[] {
  return parseHba(text, '/etc/pg_hba.conf', filesOf(files), () => []).rules.map(({ source }) => source)
}

describe('a line is refused', () => {
  test.each([
    ['hosts all all all md5', /invalid connection type "hosts"/],
    ['host,local all all all md5', /several values for the connection type/],
    ['host', /ends before its database/],
    ['host all', /ends before its user/],
    ['host all all', /ends before its address/],
    ['host all all 10.0.0.0', /ends before its netmask/],
    ['host all all 10.0.0.0/8', /ends before its authentication method/],
    ['local all all', /ends before its authentication method/],
    ['local all all 10.0.0.0/8 md5', /invalid authentication method "10.0.0.0\/8"/],
    ['host all all 10.0.0.0/33 md5', /invalid prefix length in "10.0.0.0\/33": expected 0 to 32/],
    ['host all all ::/129 md5', /invalid prefix length/],
    ['host all all 10.0.0.0/x md5', /invalid prefix length/],
    ['host all all 10.0.0.0/ md5', /invalid prefix length/],
    ['host all all 10.0.0.0/8/8 md5', /invalid prefix length/],
    ['host all all 10.0.0.0/-1 md5', /invalid prefix length/],
    ['host all all 10.0.0 md5', /is not an IP address/],
    ['host all all example.com md5', /host names are not supported.*write the address/],
    ['host all all .example.com md5', /host names are not supported/],
    ['host all all "samenet" md5', /is not an IP address/],
    ['host all all fe80::1%eth0/64 md5', /is not an IP address/],
    ['host all all 10.0.0.0 md5', /expected a prefix length \(such as \/32\) or a mask, found "md5"/],
    ['host all all 10.0.0.0 ffff:: md5', /different families/],
    ['host all all 10.0.0.0/8,11.0.0.0/8 md5', /several values for the address/],
    ['host all all all md5,trust', /several values for the authentication method/],
    ['host all all all MD5', /invalid authentication method "MD5": expected one of trust, reject, md5/],
    ['host samerole all all md5', /"samerole" is not supported: groups/],
    ['host samegroup all all md5', /"samegroup" is not supported: groups/],
    ['host all +ops all md5', /"\+group" is not supported: groups/],
    ['local all all peer', /method "peer" is not supported: Node\.js cannot ask.*use scram-sha-256/],
    ['host all all all ident', /method "ident" is not supported: .*use scram-sha-256/],
    ['host all all all gss include_realm=1', /method "gss" is not supported: .*use cert/],
    ['host all all all sspi', /method "sspi" is not supported: .*use cert/],
    ['host all all all pam pamservice=x', /method "pam" is not supported: .*use scram-sha-256/],
    ['host all all all ldap ldapserver=x', /method "ldap" is not supported: .*use scram-sha-256/],
    ['host all all all radius', /method "radius" is not supported: .*use scram-sha-256/],
    ['host all all all bsd', /method "bsd" is not supported: .*use scram-sha-256/],
    ['host all all all oauth', /method "oauth" is not supported: .*use cert/],
    ['host all all all cert', /only supported on hostssl/],
    ['local all all cert', /only supported on hostssl/],
    ['host all all all md5 map', /not in the form name=value/],
    ['host all all all md5 map=x', /"map" is only valid for authentication method cert/],
    ['hostssl all all all cert map=', /map= needs the name of a map/],
    ['host all all all md5 clientcert=verify-ca', /clientcert can only be configured for "hostssl" rows/],
    ['hostssl all all all md5 clientcert=1', /invalid value for clientcert: "1"/],
    ['hostssl all all all cert clientcert=verify-ca', /only accepts "verify-full"/],
    ['hostssl all all all cert clientname=DN', /clientname can only be CN/],
    ['host all all all md5 clientname=CN', /clientname can only be configured for "hostssl" rows/],
    ['host all all all md5 fruit=apple', /authentication option "fruit" is not supported/],
    ['host "all all all md5', /a quote is not closed/],
    ['host a\0b all all md5', /zero byte/],
    ['host /( all all md5', /invalid regular expression "\(": a \( without \)/],
    ['host @missing all all md5', /cannot read \/etc\/missing: there is no such file/],
    ['include', /include takes one name/],
    ['include a b', /include takes one name/],
    ['include a,b', /include takes one name/],
    ['include missing', /cannot read \/etc\/missing: there is no such file/],
    ['include_dir missing', /cannot read \/etc\/missing: there is no such folder/],
    ['include pg_hba.conf', /\/etc\/pg_hba\.conf includes itself/],
  ])('%j', (line, problem) => {
    expect(problemsOf(`\n${line}\n`)).toEqual([expect.stringMatching(problem)])
    expect(problemsOf(`\n${line}\n`)[0]).toMatch(/^\/etc\/pg_hba\.conf:2: /)
  })

  test('without the value of an option, which may be a secret', () => {
    expect(problemsOf('host all all all md5 radiussecrets=hunter2').join()).not.toContain('hunter2')
  })
})

test('all bad lines are reported at once, each with its number', () => {
  const problems = problemsOf('host all all all md5\nfoo\n\nlocal all all \\\n peer\nbar', {})
  expect(problems.map((problem) => problem.split(': ')[0])).toEqual([
    '/etc/pg_hba.conf:2',
    '/etc/pg_hba.conf:4',
    '/etc/pg_hba.conf:6',
  ])
})

test('a file that is something else fills no more than a hundred lines of log', () => {
  const problems = problemsOf('x\n'.repeat(1000))
  expect(problems).toHaveLength(101)
  expect(problems.at(-1)).toBe('and 900 more')
})

describe('options', () => {
  test('of a certificate are read', () => {
    const text = `
hostssl all all all cert map=people
hostssl all all all scram-sha-256 clientcert=verify-ca
hostssl all all all scram-sha-256 clientcert=verify-full clientname=CN
hostssl all all all scram-sha-256`
    const { rules } = parseHba(text, 'pg_hba.conf', filesOf({}), () => [])
    expect(rules.map(({ map, clientCertificate }) => [map, clientCertificate])).toEqual([
      ['people', 'verify-full'],
      [undefined, 'verify-ca'],
      [undefined, 'verify-full'],
      [undefined, 'none'],
    ])
  })
})

describe('included files', () => {
  const rule = 'host all all all md5'

  test('stand in the place of their line, relative to the file that names them', () => {
    const files = { '/etc/more/a.conf': `${rule}\ninclude b.conf`, '/etc/more/b.conf': rule }
    expect(sources(`${rule}\ninclude more/a.conf\n${rule}`, files)).toEqual([
      '/etc/pg_hba.conf:1',
      '/etc/more/a.conf:1',
      '/etc/more/b.conf:1',
      '/etc/pg_hba.conf:3',
    ])
  })

  test('may be missing with include_if_exists', () => {
    expect(sources('include_if_exists none', {})).toEqual([])
    expect(sources('include_if_exists /x', { '/x': rule })).toEqual(['/x:1'])
  })

  test('of a folder are those that end in .conf, by name', () => {
    const files = { '/etc/d/b.conf': rule, '/etc/d/a.conf': rule, '/etc/d/c.txt': 'x', '/etc/d/.d.conf': 'x' }
    expect(sources('include_dir d', files)).toEqual(['/etc/d/a.conf:1', '/etc/d/b.conf:1'])
  })

  test('have their own lines in errors', () => {
    expect(problemsOf('include /x', { '/x': '\nfoo' })).toEqual([expect.stringMatching(/^\/x:2: invalid/)])
  })

  test('that include each other are an error', () => {
    const problems = problemsOf('include /x', { '/x': 'include /y', '/y': 'include /x' })
    expect(problems).toEqual(['/y:1: /x includes itself'])
  })

  test('are followed ten levels deep', () => {
    const chain = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`/${n}`, `include /${n + 1}`]))
    expect(problemsOf('include /0', chain)).toEqual([
      '/9:1: /10: files include each other more than 10 levels deep',
    ])
  })

  test('may hold values of one field, in lines and lists, and name others', () => {
    const files = { '/etc/users': 'alice, bob # staff\n"carol c"\n@more', '/etc/more': 'dave' }
    const { rules } = parseHba('local all eve,@users md5', '/etc/pg_hba.conf', filesOf(files), () => [])
    expect(rules[0]?.users).toEqual(
      ['eve', 'alice', 'bob', 'carol c', 'dave'].map((name) => ({ kind: 'name', name })),
    )
    expect(problemsOf('local all @users md5', { '/etc/users': '# none' })).toEqual([
      expect.stringMatching(/names a file without any names/),
    ])
  })
})

const word = fc.constantFrom(
  ...[
    'local',
    'host',
    'hostssl',
    'all',
    'sameuser',
    '10.0.0.0/8',
    '::1',
    '255.0.0.0',
    'md5',
    'cert',
    'map=x',
  ],
  ...[
    'clientcert=verify-full',
    '"',
    '\\',
    ',',
    '#',
    '@',
    '@f',
    '+',
    '/',
    '/(a|b)*[c',
    '/a{2,3}',
    'include f',
  ],
  ...['include_dir d', '\n', ' ', '\t', '\0', '\u{1f600}', '\ud800'],
)

test('no text makes the parser throw anything but a PoolerError F0000', () => {
  const text = fc.oneof(
    anyText,
    fc.array(word).map((words) => words.join(' ')),
  )
  fc.assert(
    fc.property(text, text, (main, other) => {
      problemsOf(main, { '/etc/f': other, '/etc/d/x.conf': other })
    }),
    { numRuns: 1000 },
  )
})
