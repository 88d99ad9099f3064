import { describe, expect, test } from 'vitest'
import { type LoginPolicySettings, loadLoginPolicy } from '../../../src/auth/load-login-policy.ts'
import type { LoginAttempt, LoginDecision } from '../../../src/auth/login-policy.ts'
import { filesOf } from './access-files-of.ts'

const SETTINGS: LoginPolicySettings = {
  auth_type: 'hba',
  auth_hba_file: undefined,
  auth_ident_file: undefined,
  certificatesAsked: true,
  databaseWithoutUser: undefined,
}

const ATTEMPT: LoginAttempt = {
  address: '10.0.0.1',
  encrypted: true,
  certificateName: undefined,
  database: 'app',
  user: 'alice',
  replication: false,
}

function decide(settings: Partial<LoginPolicySettings>, attempt: Partial<LoginAttempt> = {}): LoginDecision {
  const policy = loadLoginPolicy({ ...SETTINGS, ...settings }, filesOf({}), () => [])
  return policy.decide({ ...ATTEMPT, ...attempt })
}

function byRules(hba: string, attempt: Partial<LoginAttempt> = {}, ident = ''): LoginDecision {
  const files = filesOf({ '/hba': hba, '/ident': ident })
  const settings = { ...SETTINGS, auth_hba_file: '/hba', auth_ident_file: '/ident' }
  return loadLoginPolicy(settings, files, () => []).decide({ ...ATTEMPT, ...attempt })
}

function refusal(message: string, reason = /./): object {
  const cause = { message: expect.stringMatching(reason) }
  return { kind: 'refused', error: { sqlState: '28000', severity: 'FATAL', message, cause } }
}

const WITHOUT = refusal('connection requires a valid client certificate')
const ANOTHER = refusal('certificate authentication failed for user "alice"')

describe('auth_type', () => {
  test.each(['plain', 'md5', 'scram-sha-256'] as const)('%s asks for a password in its way', (authType) => {
    expect(decide({ auth_type: authType })).toEqual({ kind: 'method', authType })
  })

  test.each(['any', 'trust'] as const)('%s asks for nothing', (by) => {
    expect(decide({ auth_type: by })).toEqual({ kind: 'accepted', by })
  })

  test('cert wants a certificate with the name of the user', () => {
    const withName = (certificateName: string) => decide({ auth_type: 'cert' }, { certificateName })
    expect(withName('alice')).toEqual({ kind: 'accepted', by: 'cert' })
    expect(decide({ auth_type: 'cert' })).toMatchObject(WITHOUT)
    expect(decide({ auth_type: 'cert' }, { encrypted: false })).toMatchObject(WITHOUT)
    for (const name of ['bob', '', 'Alice', 'alice\0', 'alice\0.example.com']) {
      expect(withName(name)).toMatchObject(ANOTHER)
    }
  })
})

describe('auth_type hba', () => {
  test.each([
    ['trust', { kind: 'accepted', by: 'trust' }],
    ['password', { kind: 'method', authType: 'plain' }],
    ['md5', { kind: 'method', authType: 'md5' }],
    ['scram-sha-256', { kind: 'method', authType: 'scram-sha-256' }],
    ['cert', WITHOUT],
    ['scram-sha-256 clientcert=verify-ca', WITHOUT],
    ['scram-sha-256 clientcert=verify-full', WITHOUT],
    ['trust clientcert=verify-full', WITHOUT],
  ])('with method %s', (method, expected) => {
    expect(byRules(`hostssl all all all ${method}`)).toMatchObject(expected)
  })

  test.each([
    ['cert', 'alice', { kind: 'accepted', by: 'cert' }],
    ['cert', 'bob', ANOTHER],
    ['cert map=m', 'ann', { kind: 'accepted', by: 'cert' }],
    ['cert map=m', 'alice', ANOTHER],
    ['cert map=m', '', ANOTHER],
    ['scram-sha-256 clientcert=verify-ca', 'bob', { kind: 'method', authType: 'scram-sha-256' }],
    ['scram-sha-256 clientcert=verify-ca', '', { kind: 'method', authType: 'scram-sha-256' }],
    ['scram-sha-256 clientcert=verify-full', 'bob', ANOTHER],
    ['scram-sha-256 clientcert=verify-full', 'alice', { kind: 'method', authType: 'scram-sha-256' }],
    ['trust clientcert=verify-full', 'alice', { kind: 'accepted', by: 'trust' }],
  ])('with method %s and a certificate of %j', (method, certificateName, expected) => {
    expect(byRules(`hostssl all all all ${method}`, { certificateName }, 'm ann alice')).toMatchObject(
      expected,
    )
  })

  test('covers physical replication by the keyword alone, whatever database it names', () => {
    const physical = { replication: true, database: 'app' }
    expect(byRules('host app,all all all trust', physical)).toMatchObject({ kind: 'refused' })
    expect(byRules('host replication all all trust', physical)).toEqual({ kind: 'accepted', by: 'trust' })
    expect(byRules('host replication all all trust')).toMatchObject({ kind: 'refused' })
  })

  test('refuses whom no rule covers, and tells the log which certificate came', () => {
    expect(byRules('local all all trust')).toMatchObject({
      error: {
        message: 'no pg_hba.conf entry for host "10.0.0.1", user "alice", database "app", SSL encryption',
      },
    })
    expect(byRules('hostssl all all all cert', { certificateName: 'bob' })).toMatchObject(
      refusal('certificate authentication failed for user "alice"', /for "bob"/),
    )
  })
})

describe('a configuration is refused', () => {
  test.each<[string, Partial<LoginPolicySettings>, RegExp]>([
    [
      'cert without certificates',
      { auth_type: 'cert', certificatesAsked: false },
      /needs client_tls_ca_file/,
    ],
    [
      'any with a database without user',
      { auth_type: 'any', databaseWithoutUser: 'app' },
      /databases\.app has no/,
    ],
    ['hba without a file', {}, /needs auth_hba_file/],
    [
      'a file without hba',
      { auth_type: 'md5', auth_hba_file: '/hba' },
      /auth_hba_file has no effect with.*md5/,
    ],
    [
      'maps without hba',
      { auth_type: 'cert', auth_ident_file: '/i' },
      /auth_ident_file has no effect with.*cert/,
    ],
    [
      'a file that is not there',
      { auth_hba_file: '/none' },
      /cannot read auth_hba_file \/none: there is no such/,
    ],
    ['a bad line', { auth_hba_file: '/bad' }, /^\/bad:1: invalid connection type/],
    [
      'a map that is not there',
      { auth_hba_file: '/map' },
      /^\/map:1: there is no map "m": auth_ident_file is not/,
    ],
    [
      'a rule that needs certificates',
      { auth_hba_file: '/map', certificatesAsked: false },
      /^\/map:1: the rule asks for a certificate/,
    ],
  ])('%s', (_what, settings, message) => {
    const files = filesOf({ '/bad': 'x', '/map': 'hostssl all all all cert map=m' })
    const load = () => loadLoginPolicy({ ...SETTINGS, ...settings }, files, () => [])
    expect(load).toThrow(
      expect.objectContaining({ sqlState: 'F0000', message: expect.stringMatching(message) }),
    )
  })
})
