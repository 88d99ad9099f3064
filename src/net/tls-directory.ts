import assert from 'node:assert'
import { readFile } from 'node:fs/promises'
import { type Config, findDatabase, type PoolerSettings } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { TlsContext, type TlsVerification } from './tls-context.ts'

/**
 * TlsDirectory: which TLS is spoken with clients and with the server of each database. It owns the current
 * contexts; `reload` replaces them all or, if one file is bad, none. Connections that exist keep theirs.
 * Source: PgBouncer's configuration reference, "TLS settings".
 */

export type TlsMode = PoolerSettings['server_tls_sslmode']

/** TLS with clients, for modes other than disable. */
export interface ClientTls {
  readonly mode: Exclude<TlsMode, 'disable'>
  readonly context: TlsContext
}

/** TLS with one server. */
export type ServerTls =
  | { readonly mode: 'disable' }
  | {
      readonly mode: Exclude<TlsMode, 'disable'>
      /** True: the handshake begins at once, without SSLRequest. */
      readonly direct: boolean
      readonly context: TlsContext
    }

/** The settings of one side or database, under names without their prefix. */
interface SideSettings {
  readonly prefix: 'client_tls' | 'server_tls'
  /** Which database, for messages. */
  readonly where: string
  readonly mode: TlsMode
  readonly direct: boolean
  readonly key_file: string | undefined
  readonly cert_file: string | undefined
  readonly ca_file: string | undefined
  readonly protocols: readonly string[]
  readonly ciphers: string
  readonly tls13Ciphers: string | undefined
}

interface Contexts {
  readonly config: Config
  readonly clients: ClientTls | null
  /** By the settings as text, so that databases with the same settings share one context. */
  readonly servers: ReadonlyMap<string, ServerTls>
}

/** What a database may have of its own; undefined where it has not. */
type ServerOverrides = {
  readonly [K in keyof PoolerSettings & `server_tls${string}`]: PoolerSettings[K] | undefined
}

const DISABLED: ServerTls = { mode: 'disable' }

export class TlsDirectory {
  #contexts: Contexts

  private constructor(contexts: Contexts) {
    this.#contexts = contexts
  }

  /** Reads all files. Rejects with PoolerError F0000: a missing setting, an unreadable or unusable file. */
  static async load(config: Config): Promise<TlsDirectory> {
    return new TlsDirectory(await readContexts(config))
  }

  /** Reads all files again, and other settings if given. Rejects as load() does, and then nothing has changed. */
  async reload(config: Config = this.#contexts.config): Promise<void> {
    this.#contexts = await readContexts(config)
  }

  /** Uses from now on what `other` has read. */
  replaceBy(other: TlsDirectory): void {
    this.#contexts = other.#contexts
  }

  /** For clients that connect now; null where TLS is not offered. */
  get clients(): ClientTls | null {
    return this.#contexts.clients
  }

  /** For connections that are opened now for this database, as clients name it. Throws 3D000 if there is none. */
  server(databaseName: string): ServerTls {
    const { config, servers } = this.#contexts
    const database = findDatabase(config, databaseName)
    if (database === undefined) {
      throw new PoolerError(SqlState.InvalidCatalogName, `database "${databaseName}" does not exist`)
    }
    const tls = servers.get(keyOf(serverSettings(config.pooler, database, '')))
    assert(tls !== undefined, 'the TLS settings of every database have been read')
    return tls
  }
}

async function readContexts(config: Config): Promise<Contexts> {
  const servers = new Map<string, ServerTls>()
  const databases: [string, ServerOverrides][] = [...config.databases]
  if (config.fallbackDatabase !== undefined) databases.push(['*', config.fallbackDatabase])
  const problems: string[] = []
  const noting = (error: unknown): undefined => {
    if (!(error instanceof PoolerError)) throw error
    problems.push(error.message)
  }
  for (const [name, database] of databases) {
    const settings = serverSettings(config.pooler, database, ` (databases.${JSON.stringify(name)})`)
    const key = keyOf(settings)
    // Databases with the same settings have the same problem, which is told once.
    if (!servers.has(key)) servers.set(key, (await readServer(settings).catch(noting)) ?? DISABLED)
  }
  const clients = await readClients(config.pooler).catch(noting)
  if (problems.length > 0) throw misconfigured(problems.join('\n'))
  return { config, clients: clients ?? null, servers }
}

async function readClients(pooler: PoolerSettings): Promise<ClientTls | null> {
  const { client_tls_sslmode: mode, client_tls_key_file: key, client_tls_cert_file: certificate } = pooler
  if (mode === 'disable') return null
  if (key === undefined || certificate === undefined) {
    const missing = key === undefined ? 'client_tls_key_file' : 'client_tls_cert_file'
    throw misconfigured(`client_tls_sslmode "${mode}" needs ${missing}, which is not set`)
  }
  const settings: SideSettings = {
    prefix: 'client_tls',
    where: '',
    mode,
    direct: false,
    key_file: key,
    cert_file: certificate,
    ca_file: pooler.client_tls_ca_file,
    protocols: pooler.client_tls_protocols,
    ciphers: pooler.client_tls_ciphers,
    tls13Ciphers: pooler.client_tls13_ciphers,
  }
  return { mode, context: await readContext(settings) }
}

async function readServer(settings: SideSettings): Promise<ServerTls> {
  const { where, mode, direct, key_file, cert_file } = settings
  if (direct && (mode === 'disable' || mode === 'allow' || mode === 'prefer')) {
    throw misconfigured(
      `server_tls_sslnegotiation "direct"${where} needs server_tls_sslmode "require", "verify-ca" or ` +
        `"verify-full", and it is "${mode}": only SSLRequest can ask whether a server has TLS`,
    )
  }
  if (mode === 'disable') return DISABLED
  if ((key_file === undefined) !== (cert_file === undefined)) {
    const missing = key_file === undefined ? 'server_tls_key_file' : 'server_tls_cert_file'
    throw misconfigured(`${missing}${where} is not set: key and certificate need each other`)
  }
  return { mode, direct, context: await readContext(settings) }
}

async function readContext(settings: SideSettings): Promise<TlsContext> {
  const { prefix, where, mode } = settings
  const verification: TlsVerification = mode === 'verify-full' ? 'full' : mode === 'verify-ca' ? 'ca' : 'none'
  if (verification !== 'none' && settings.ca_file === undefined) {
    throw misconfigured(`${prefix}_sslmode "${mode}"${where} needs ${prefix}_ca_file, which is not set`)
  }
  const read = (name: 'key_file' | 'cert_file' | 'ca_file'): Promise<Buffer | undefined> =>
    readPem(`${prefix}_${name}${where}`, settings[name])
  const reads = await Promise.allSettled([read('key_file'), read('cert_file'), read('ca_file')])
  const failed = reads.filter((result) => result.status === 'rejected')
  if (failed.length > 0) throw misconfigured(failed.map(({ reason }) => reason.message).join('\n'))
  const [key, certificate, authorities] = reads.map((result) =>
    result.status === 'fulfilled' ? result.value : undefined,
  )
  const { protocols, ciphers, tls13Ciphers } = settings
  return new TlsContext(
    { prefix, where, key, certificate, authorities, protocols, ciphers, tls13Ciphers },
    verification,
  )
}

async function readPem(setting: string, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  return await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code ?? cause.message
    throw misconfigured(`cannot read ${setting} ${path}: ${reason}; create it or make it readable`, cause)
  })
}

function serverSettings(pooler: PoolerSettings, own: ServerOverrides, where: string): SideSettings {
  return {
    prefix: 'server_tls',
    where,
    mode: own.server_tls_sslmode ?? pooler.server_tls_sslmode,
    direct: (own.server_tls_sslnegotiation ?? pooler.server_tls_sslnegotiation) === 'direct',
    key_file: own.server_tls_key_file ?? pooler.server_tls_key_file,
    cert_file: own.server_tls_cert_file ?? pooler.server_tls_cert_file,
    ca_file: own.server_tls_ca_file ?? pooler.server_tls_ca_file,
    protocols: own.server_tls_protocols ?? pooler.server_tls_protocols,
    ciphers: own.server_tls_ciphers ?? pooler.server_tls_ciphers,
    tls13Ciphers: own.server_tls13_ciphers ?? pooler.server_tls13_ciphers,
  }
}

function keyOf({ where: _, ...settings }: SideSettings): string {
  return JSON.stringify(settings)
}

function misconfigured(message: string, cause?: unknown): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, message, cause === undefined ? {} : { cause })
}
