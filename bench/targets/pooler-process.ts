import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../src/embedded/free-port.ts'
import type { CertificateFiles } from '../../test/support/certificates.ts'
import { runProgram } from '../load/run-program.ts'
import type { LoadAddress } from '../load/workload.ts'
import { Child } from './child.ts'
import type { Target } from './target.ts'

/** PoolerProcess: this pooler as users run it, the command from dist/ with a configuration file, under Node or Bun. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMMAND = join(ROOT, 'dist/cli.js')

export interface PoolerProcessOptions {
  readonly folder: string
  readonly server: LoadAddress
  readonly poolSize: number
  readonly maxClients: number
  /** What clients are shown where they ask for TLS. */
  readonly certificate?: CertificateFiles | undefined
  /** Further lines of [pooler], and of the database. */
  readonly settings?: string
  readonly databaseSettings?: string
  /** What it is called in the result; otherwise "pooler" or "bun". */
  readonly name?: PoolerName
  /** The command `bun`; Node.js where it is not given. */
  readonly bun?: string
}

type PoolerName = 'pooler' | 'bun' | 'off' | 'on'

/** Compiles src/ to dist/. */
export async function buildPooler(): Promise<void> {
  const { exitCode, stdout, stderr } = await runProgram('npm', ['run', '--silent', 'build'], { cwd: ROOT })
  if (exitCode !== 0) throw new Error(`the pooler does not compile:\n${stdout}${stderr}`)
}

export class PoolerProcess implements Target {
  readonly name: PoolerName
  readonly address: LoadAddress
  readonly #child: Child

  private constructor(name: PoolerName, child: Child, address: LoadAddress) {
    this.name = name
    this.#child = child
    this.address = address
  }

  static async start({
    folder,
    server,
    poolSize,
    maxClients,
    certificate,
    settings = '',
    databaseSettings = '',
    bun,
    name = bun === undefined ? 'pooler' : 'bun',
  }: PoolerProcessOptions): Promise<PoolerProcess> {
    const address = { ...server, port: await freePort() }
    const configFile = join(folder, `pooler-${address.port}.toml`)
    await writeFile(
      configFile,
      `[pooler]
listen_addr = "${address.host}"
listen_port = ${address.port}
auth_type = "${server.password === undefined ? 'trust' : 'scram-sha-256'}"
${certificate === undefined ? '' : tlsLines(certificate)}
default_pool_size = ${poolSize}
server_tls_sslmode = "disable"
max_client_conn = ${maxClients}
${settings}

[databases.${address.database}]
host = "${server.host}"
port = ${server.port}
${databaseSettings}

[users.${address.user}]
${server.password === undefined ? '' : `password = "${server.password}"`}
`,
    )
    const child = await Child.start(
      {
        command: bun ?? process.execPath,
        parameters: [COMMAND, configFile],
        logFile: join(folder, 'pooler.log'),
        cwd: folder,
      },
      address,
    )
    return new PoolerProcess(name, child, address)
  }

  get pid(): number {
    return this.#child.pid
  }

  refusal(): undefined {
    return undefined
  }

  async stop(): Promise<void> {
    await this.#child.stop()
  }
}

function tlsLines({ key, certificate }: CertificateFiles): string {
  return `client_tls_sslmode = "allow"
client_tls_key_file = "${key}"
client_tls_cert_file = "${certificate}"`
}
