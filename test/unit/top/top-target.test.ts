import { describe, expect, test } from 'vitest'
import { buildConfig } from '../../../src/config/config.ts'
import { isUrl, targetOfConfig, targetOfUrl } from '../../../src/top/top-target.ts'

const databases = { app: { host: '10.0.0.1' } }

describe('which console', () => {
  test('a URL says everything', () => {
    expect(targetOfUrl('postgres://boss:a%20b@[::1]:7000/pooler', {})).toEqual({
      endpoint: { host: '::1', port: 7000 },
      database: 'pooler',
      user: 'boss',
      password: 'a b',
    })
  })

  test('what a URL leaves out comes from the environment and the defaults', () => {
    expect(targetOfUrl('postgresql://', { PGUSER: 'boss', PGPASSWORD: 'secret' })).toEqual({
      endpoint: { host: '127.0.0.1', port: 6432 },
      database: 'pgbouncer',
      user: 'boss',
      password: 'secret',
    })
  })

  test('a broken URL is refused without its password', () => {
    for (const url of ['postgres://boss:hunter2@host:port/', 'postgres://boss:hunter2@host/?sslmode=require'])
      expect(() => targetOfUrl(url, {})).toThrow(/^(?!.*hunter2).*postgres:\/\/user/)
  })

  test('only URLs are URLs', () => {
    expect(['postgres://a', 'postgresql://a', 'pooler.toml', './postgres'].map(isUrl)).toEqual([
      true,
      true,
      false,
      false,
    ])
  })

  test('a configuration says where it listens and who may look', () => {
    const pooler = { listen_addr: '*', listen_port: 7000, admin_users: 'boss', stats_users: 'watcher' }
    expect(targetOfConfig(buildConfig({ pooler, databases }), { PGPASSWORD: 'secret' })).toEqual({
      endpoint: { host: '127.0.0.1', port: 7000 },
      database: 'pgbouncer',
      user: 'watcher',
      password: 'secret',
    })
  })

  test('a configuration that lets nobody use the console is refused', () => {
    expect(() => targetOfConfig(buildConfig({ pooler: {}, databases }), {})).toThrow('lets nobody')
  })
})
