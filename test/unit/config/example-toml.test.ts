import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'toml'
import { expect, test } from 'vitest'
import { defaultConfig, findDatabase, readConfig } from '../../../src/config/config.ts'
import { exampleToml } from '../../../src/config/example-toml.ts'
import { loadToml } from '../../../src/config/load-toml.ts'
import { settings } from '../../../src/config/settings.ts'

const path = fileURLToPath(new URL('../../../pooler.toml.example', import.meta.url))

test('pooler.toml.example is what the table of settings makes', async () => {
  expect(await readFile(path, 'utf8'), 'out of date: run "npm run example" and commit the file').toBe(
    exampleToml(),
  )
})

test('pooler.toml.example loads: a database, a user, all else by default', async () => {
  const config = await loadToml(path)
  expect(config.pooler).toEqual(defaultConfig().pooler)
  expect(findDatabase(config, 'app')).toMatchObject({ host: ['127.0.0.1'], port: 5432 })
  expect(config.users.get('app')?.password).toBe('change me')
})

test('every setting is in it, and every line of it loads once its # is removed', () => {
  const uncommented = exampleToml().replace(/^#(?=[[a-z])/gm, '')
  const origin = { file: 'pooler.toml.example', folder: '/etc/pooler' }
  const config = readConfig(parse(uncommented), origin)
  expect(config.pooler).toEqual({
    ...defaultConfig().pooler,
    unix_socket_dir: '/run/pooler',
    http_listen: '127.0.0.1:9187',
    logfile: '/var/log/pooler/pooler.log',
    metrics_max_pools: 200,
    unix_socket_mode: 0o770,
    unix_socket_group: 'postgres',
    pidfile: '/run/pooler/pooler.pid',
    user: 'pooler',
    auth_file: '/etc/pooler/userlist.txt',
    auth_hba_file: '/etc/pooler/pg_hba.conf',
    auth_ident_file: '/etc/pooler/pg_ident.conf',
    auth_user: 'pooler_auth',
    auth_query: 'SELECT name, secret FROM pooler.lookup($1)',
    auth_dbname: 'auth',
    client_tls_key_file: '/etc/pooler/pooler.key',
    client_tls_cert_file: '/etc/pooler/pooler.crt',
    client_tls_ca_file: '/etc/pooler/clients-ca.crt',
    client_tls13_ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
    server_tls_key_file: '/etc/pooler/pooler-client.key',
    server_tls_cert_file: '/etc/pooler/pooler-client.crt',
    server_tls_ca_file: '/etc/pooler/servers-ca.crt',
    server_tls13_ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  })
  expect(config.databases.get('NAME')).toMatchObject({ dbname: 'app_production', user: 'app_owner' })
  expect(config.users.get('NAME')?.password).toMatch(/^md5[0-9a-f]{32}$/)
  for (const name of Object.keys(settings)) expect(exampleToml()).toContain(`\n#${name} = `)
})

test('its lines are short enough for a terminal', () => {
  for (const line of exampleToml().split('\n')) expect(line.length, line).toBeLessThanOrEqual(110)
})
