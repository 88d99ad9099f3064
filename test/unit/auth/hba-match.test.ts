import { BlockList, isIPv4 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type HbaConnectionAttempt, type HbaRules, parseHba } from '../../../src/auth/hba.ts'
import type { OwnNetworks } from '../../../src/auth/hba-address.ts'
import { parseIp, prefixMask } from '../../../src/auth/ip-network.ts'
import { filesOf } from './access-files-of.ts'

const OWN: OwnNetworks = () => [
  { address: parseIp('10.1.2.3')!, mask: prefixMask(32, 16) },
  { address: parseIp('fd00::7')!, mask: prefixMask(128, 64) },
]

function rulesOf(text: string): HbaRules {
  return parseHba(text, 'pg_hba.conf', filesOf({}), OWN)
}

const ATTEMPT: HbaConnectionAttempt = {
  database: 'app',
  user: 'alice',
  address: '10.0.0.1',
  encrypted: false,
  replication: false,
}

/** The method that holds, or the refusal. */
function decide(text: string, attempt: Partial<HbaConnectionAttempt> = {}): string {
  const decision = rulesOf(text).match({ ...ATTEMPT, ...attempt })
  return decision.kind === 'matched' ? decision.rule.method : decision.error.message
}

const NO_ENTRY = /^no pg_hba\.conf entry/
const TCP = {}
const TLS = { encrypted: true }
const LOCAL = { address: '' }

describe('a connection type covers', () => {
  test.each([
    ['local', LOCAL, true],
    ['local', TCP, false],
    ['host', LOCAL, false],
    ['host', TCP, true],
    ['host', TLS, true],
    ['hostssl', TCP, false],
    ['hostssl', TLS, true],
    ['hostnossl', TCP, true],
    ['hostnossl', TLS, false],
    ['hostgssenc', TCP, false],
    ['hostgssenc', TLS, false],
    ['hostnogssenc', TCP, true],
    ['hostnogssenc', TLS, true],
    ['hostnogssenc', LOCAL, false],
  ] as const)('%s, %j: %s', (type, attempt, covered) => {
    const line = type === 'local' ? 'local all all md5' : `${type} all all all md5`
    expect(decide(line, attempt)).toMatch(covered ? /^md5$/ : NO_ENTRY)
  })
})

describe('a database and user field covers', () => {
  test.each([
    // databases, users, attempt, covered
    ['all', 'all', {}, true],
    ['app', 'all', {}, true],
    ['App', 'all', {}, false],
    ['other', 'all', {}, false],
    ['other,app', 'all', {}, true],
    ['other, app', 'bob,  alice', {}, true],
    ['sameuser', 'all', {}, false],
    ['sameuser', 'all', { database: 'alice' }, true],
    ['"sameuser"', 'all', { database: 'alice' }, false],
    ['"sameuser"', 'all', { database: 'sameuser' }, true],
    ['"all"', 'all', {}, false],
    ['"all"', 'all', { database: 'all' }, true],
    ['all', '"all"', {}, false],
    ['all', '"all"', { user: 'all' }, true],
    ['"my app"', 'all', { database: 'my app' }, true],
    ['"my ""app"""', 'all', { database: 'my "app"' }, true],
    ['"a,b"', 'all', { database: 'a,b' }, true],
    ['"a,b"', 'all', { database: 'a' }, false],
    ['"#1"', 'all', { database: '#1' }, true],
    ['"+app"', '"+ops"', { database: '+app', user: '+ops' }, true],
    ['"@app"', 'all', { database: '@app' }, true],
    ['replication', 'all', {}, false],
    ['replication', 'all', { database: 'replication' }, false],
    ['replication', 'all', { replication: true }, true],
    ['all', 'all', { replication: true }, false],
    ['"replication"', 'all', { database: 'replication' }, true],
    ['"replication"', 'all', { replication: true }, false],
    ['replication,app', 'all', {}, true],
    ['/^app', 'all', { database: 'app_test' }, true],
    ['/app$', 'all', { database: 'app_test' }, false],
    ['/^app\\d{2}$', 'all', { database: 'app42' }, true],
    ['/^app\\d{2}$', 'all', { database: 'app421' }, false],
    ['"/^a{1,2}$"', 'all', { database: 'aa' }, true],
    ['all', '/^al', {}, true],
    ['all', '/^bo', {}, false],
    ['all', 'bob,/ice$', {}, true],
    ['all', 'x'.repeat(63), { user: 'x'.repeat(70) }, true],
    ['all', '/^x{63}$', { user: 'x'.repeat(70) }, true],
    ['all', 'ü'.repeat(31), { user: 'ü'.repeat(40) }, true],
  ] as const)('%s %s, %j: %s', (databases, users, attempt, covered) => {
    expect(decide(`host ${databases} ${users} all md5`, attempt)).toMatch(covered ? /^md5$/ : NO_ENTRY)
  })
})

describe('an address field covers', () => {
  test.each([
    ['all', '10.0.0.1', true],
    ['all', '2001:db8::1', true],
    ['10.0.0.1/32', '10.0.0.1', true],
    ['10.0.0.1/32', '10.0.0.2', false],
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.9.9.9/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '203.0.113.9', false],
    ['::0/0', '::1', true],
    ['::1/128', '::1', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['::ffff:10.0.0.0/104', '10.1.1.1', true],
    ['::ffff:0:0/96', '::ffff:10.1.1.1', true],
    ['10.0.0.0 255.0.0.0', '10.1.1.1', true],
    ['10.0.0.0 255.0.0.255', '10.1.1.0', true],
    ['10.0.0.0 255.0.0.255', '10.1.1.1', false],
    ['2001:db8:: ffff:ffff::', '2001:db8::1', true],
    ['samehost', '10.1.2.3', true],
    ['samehost', '10.1.2.4', false],
    ['samenet', '10.1.9.9', true],
    ['samenet', '10.2.0.1', false],
    ['samenet', 'fd00::99', true],
    ['samehost', 'fd00::99', false],
  ] as const)('%s, %s: %s', (field, address, covered) => {
    expect(decide(`host all all ${field} md5`, { address })).toMatch(covered ? /^md5$/ : NO_ENTRY)
  })
})

describe('the first rule that covers a connection', () => {
  test('decides, whatever follows', () => {
    const text = `
# comment
host all alice 10.0.0.0/8 scram-sha-256 # another
host all all 10.0.0.0/8 reject
host all all all trust
`
    expect(decide(text)).toBe('scram-sha-256')
    expect(decide(text, { user: 'bob' })).toMatch(/^pg_hba\.conf rejects/)
    expect(decide(text, { address: '192.0.2.1' })).toBe('trust')
  })

  test('is found although its line was written in several', () => {
    expect(decide('host app,\\\n  other \\\n all all md5')).toBe('md5')
  })

  test('has its method in quotes or not', () => {
    expect(decide('"host" all all all "md5"')).toBe('md5')
  })
})

describe('a refusal', () => {
  test.each([
    ['', {}, 'no pg_hba.conf entry for host "10.0.0.1", user "alice", database "app", no encryption'],
    ['', TLS, 'no pg_hba.conf entry for host "10.0.0.1", user "alice", database "app", SSL encryption'],
    ['', LOCAL, 'no pg_hba.conf entry for host "[local]", user "alice", database "app", no encryption'],
    [
      '',
      { replication: true },
      'no pg_hba.conf entry for replication connection from host "10.0.0.1", user "alice", no encryption',
    ],
    [
      'host all all all reject',
      {},
      'pg_hba.conf rejects connection for host "10.0.0.1", user "alice", database "app", no encryption',
    ],
    [
      'host replication all all reject',
      { replication: true },
      'pg_hba.conf rejects replication connection for host "10.0.0.1", user "alice", no encryption',
    ],
  ] as const)('of %j, %j, has the words of PostgreSQL', (text, attempt, message) => {
    const decision = rulesOf(text).match({ ...ATTEMPT, ...attempt })
    expect(decision).toMatchObject({
      kind: 'refused',
      error: { sqlState: '28000', severity: 'FATAL', message },
    })
  })

  test('tells the log which line rejects', () => {
    const decision = rulesOf('\nhost all all all reject').match(ATTEMPT)
    expect(decision).toMatchObject({ error: { cause: { message: 'pg_hba.conf:2' } } })
  })
})

const octets = fc.tuple(fc.constantFrom(10, 192), fc.nat(3), fc.nat(3), fc.nat(255))
const ipv4 = octets.map((parts) => parts.join('.'))
const ipv6 = fc.tuple(fc.constantFrom('fd00', '2001'), fc.nat(3), fc.nat(0xffff)).map(([a, b, c]) => {
  return `${a}:${b.toString(16)}::${c.toString(16)}`
})
const network = fc.oneof(
  fc.record({ address: ipv4, prefix: fc.nat(32) }),
  fc.record({ address: ipv6, prefix: fc.nat(128) }),
)
const name = fc.constantFrom('alice', 'bob', 'app')
const rule = fc.record({
  type: fc.constantFrom('host', 'hostssl', 'hostnossl'),
  databases: fc.uniqueArray(fc.constantFrom('all', 'sameuser', 'alice', 'bob', 'app'), { minLength: 1 }),
  users: fc.uniqueArray(fc.constantFrom('all', 'alice', 'bob', 'app'), { minLength: 1 }),
  network,
})

test('matching agrees with a naive reference', () => {
  const attempt = fc.record({
    database: name,
    user: name,
    address: fc.oneof(ipv4, ipv6),
    encrypted: fc.boolean(),
    replication: fc.constant(false),
  })
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), attempt, (rules, connection) => {
      const lines = rules.map(({ type, databases, users, network: { address, prefix } }) => {
        return `${type} ${databases.join(',')} ${users.join(',')} ${address}/${prefix} md5`
      })
      const expected = rules.findIndex(({ type, databases, users, network: { address, prefix } }) => {
        const list = new BlockList()
        list.addSubnet(address, prefix, isIPv4(address) ? 'ipv4' : 'ipv6')
        const { database, user, encrypted } = connection
        return (
          type !== (encrypted ? 'hostnossl' : 'hostssl') &&
          (databases.includes('all') ||
            databases.includes(database) ||
            (databases.includes('sameuser') && database === user)) &&
          (users.includes('all') || users.includes(user)) &&
          isIPv4(address) === isIPv4(connection.address) &&
          list.check(connection.address, isIPv4(connection.address) ? 'ipv4' : 'ipv6')
        )
      })
      const decision = rulesOf(lines.join('\n')).match(connection)
      const found = decision.kind === 'matched' ? decision.rule.source : 'none'
      expect(found).toBe(expected < 0 ? 'none' : `pg_hba.conf:${expected + 1}`)
    }),
  )
})
