import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../src/embedded/free-port.ts'
import { type UnprivilegedUser, unprivilegedUser } from '../../src/embedded/unprivileged-user.ts'
import type { CertificateFiles } from '../../test/support/certificates.ts'
import type { LoadAddress, Workload } from '../load/workload.ts'
import { Child } from './child.ts'
import type { PoolerProcessOptions } from './pooler-process.ts'
import type { Target } from './target.ts'

/** PgbouncerProcess: PgBouncer with the same limits as the pooler, transaction pooling, defaults otherwise. */

/** The first version that keeps prepared statements in transaction pooling. */
const PREPARED_SINCE = [1, 21] as const
const PREPARED_STATEMENTS = 200

export interface PgbouncerProgram {
  readonly command: string
  readonly version: string
}

export class PgbouncerProcess implements Target {
  readonly name = 'pgbouncer'
  readonly address: LoadAddress
  readonly #child: Child
  readonly #version: string

  private constructor(child: Child, address: LoadAddress, version: string) {
    this.#child = child
    this.address = address
    this.#version = version
  }

  static async start(program: PgbouncerProgram, options: PoolerProcessOptions): Promise<PgbouncerProcess> {
    const { server, poolSize, maxClients, certificate } = options
    const address = { ...server, port: await freePort() }
    // PgBouncer refuses to run as root, and must be able to read its files.
    const account = await unprivilegedUser()
    const folder = join(options.folder, `pgbouncer-${address.port}`)
    await mkdir(folder, { mode: 0o755 })
    const userlist = join(folder, 'userlist.txt')
    await writeFile(userlist, `"${server.user}" "${server.password ?? ''}"\n`)
    const configFile = join(folder, 'pgbouncer.ini')
    const prepared = keepsPrepared(program.version)
      ? `max_prepared_statements = ${PREPARED_STATEMENTS}\n`
      : ''
    const tls = certificate === undefined ? '' : await tlsLines(certificate, folder, account)
    await writeFile(
      configFile,
      `[databases]
${server.database} = host=${server.host} port=${server.port} dbname=${server.database}
[pgbouncer]
listen_addr = ${address.host}
listen_port = ${address.port}
unix_socket_dir =
auth_type = ${server.password === undefined ? 'trust' : 'scram-sha-256'}
auth_file = ${userlist}
pool_mode = transaction
default_pool_size = ${poolSize}
server_tls_sslmode = disable
max_client_conn = ${maxClients}
${prepared}${tls}`,
    )
    if (account !== null) await chown(folder, account.uid, account.gid)
    const child = await Child.start(
      {
        command: program.command,
        parameters: [configFile],
        logFile: join(folder, 'pgbouncer.log'),
        cwd: folder,
        account,
      },
      address,
    )
    return new PgbouncerProcess(child, address, program.version)
  }

  get pid(): number {
    return this.#child.pid
  }

  refusal(workload: Workload): string | undefined {
    if (workload.mode !== 'prepared' || keepsPrepared(this.#version)) return undefined
    return `PgBouncer ${this.#version} keeps no prepared statements in transaction pooling`
  }

  async stop(): Promise<void> {
    await this.#child.stop()
  }
}

/** Its account must be able to read the key, and nobody else. */
async function tlsLines(
  { key, certificate }: CertificateFiles,
  folder: string,
  account: UnprivilegedUser | null,
): Promise<string> {
  const copy = join(folder, 'server.key')
  await copyFile(key, copy)
  await chmod(copy, 0o600)
  if (account !== null) await chown(copy, account.uid, account.gid)
  return `client_tls_sslmode = allow
client_tls_key_file = ${copy}
client_tls_cert_file = ${certificate}
`
}

function keepsPrepared(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return major > PREPARED_SINCE[0] || (major === PREPARED_SINCE[0] && minor >= PREPARED_SINCE[1])
}
