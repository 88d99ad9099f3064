import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { deriveScramKeys } from '../src/auth/scram-keys.ts'
import { PlainSecret } from '../src/auth/user-secret.ts'
import { freePort } from '../src/embedded/free-port.ts'
import { ownLoad } from './load/generate-load.ts'
import { scramLogin } from './load/scram-login.ts'
import { type LoadAddress, type LoadOutcome, WORKLOADS } from './load/workload.ts'
import { makeStamp } from './stamp.ts'
import { Child } from './targets/child.ts'
import { BenchDatabase } from './targets/database.ts'
import { buildPooler } from './targets/pooler-process.ts'

/**
 * `npm run bench:logins`: a load runs through the pooler, and in the middle of it 200 clients log in at once by
 * SCRAM-SHA-256, as one of several users. How much longer does the load wait? Each pair is a fresh pooler, measured
 * without the logins and then with them: what a process has to derive, it derives in the measurement.
 */

const LOGINS = 200
const SECONDS = 2
const LOGINS_AFTER_MS = 500
/** Node and its modules, before the load generator sends anything. */
const LOAD_STARTS_MS = 700
const SCALE = 1
const WORKLOAD = 'latency-50'
/** How often the load may wait so much longer. */
const BOUND = 3
const COMMAND = fileURLToPath(new URL('../dist/cli.js', import.meta.url))

/** What the pooler knows of its users: PostgreSQL's verifier, or the password itself. */
const KINDS = ['verifier', 'password'] as const
type Kind = (typeof KINDS)[number]

interface Options {
  readonly pairs: number
  /** Of the load. */
  readonly clients: number
  /** Whom those who log in are: each has a pool of its own, and with it a server connection. */
  readonly users: number
}

interface Pair {
  readonly idle: LoadOutcome
  readonly busy: LoadOutcome
  /** From the first connect to the last ReadyForQuery. */
  readonly loginsMs: number
}

async function main({ pairs, clients, users }: Options): Promise<void> {
  const stamp = await makeStamp({ pgbench: null, pgbouncer: null })
  const folder = await mkdtemp(join(tmpdir(), 'pooler-logins-'))
  await chmod(folder, 0o755)
  await buildPooler()
  const database = await BenchDatabase.start(folder, SCALE)
  try {
    console.log(
      `pooler ${stamp.pooler} (${stamp.commit}), Node ${stamp.node}, PostgreSQL ${stamp.postgres}, ` +
        `${stamp.cores} cores, load average ${loadavg()[0]?.toFixed(1)}`,
    )
    for (const kind of KINDS) {
      const measured: Pair[] = []
      for (let pair = 0; pair < pairs; pair++) {
        measured.push(await measure(folder, database.address, kind, clients, users))
      }
      report(kind, { pairs, clients, users }, measured)
    }
  } finally {
    await database.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(
  folder: string,
  server: LoadAddress,
  kind: Kind,
  clients: number,
  users: number,
): Promise<Pair> {
  const address = { ...server, port: await freePort() }
  const child = await startPooler(folder, server, address, kind, users)
  try {
    // Node compiles what is hot before anything counts.
    await load(address, clients)
    const idle = await load(address, clients)
    const [busy, loginsMs] = await Promise.all([load(address, clients), logins(address, users)])
    return { idle, busy, loginsMs }
  } finally {
    await child.stop()
  }
}

function load(address: LoadAddress, clients: number): Promise<LoadOutcome> {
  const workload = WORKLOADS.find(({ id }) => id === WORKLOAD)
  if (workload === undefined) throw new Error(`there is no workload ${WORKLOAD}`)
  return ownLoad({ address, workload: { ...workload, clients }, seconds: SECONDS, scale: SCALE })
}

/** All at once, in the middle of the load, which takes a moment to start. */
async function logins(address: LoadAddress, users: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, LOGINS_AFTER_MS + LOAD_STARTS_MS))
  const startedMs = performance.now()
  await Promise.all(
    Array.from({ length: LOGINS }, (_, n) =>
      scramLogin({ ...address, user: userName(n % users) }, secretOf(n % users)),
    ),
  )
  return performance.now() - startedMs
}

/** The client's derivations are done once for all pairs: another machine would do them. */
const secrets = new Map<number, PlainSecret>()
function secretOf(n: number): PlainSecret {
  const known = secrets.get(n) ?? new PlainSecret(passwordOf(n))
  secrets.set(n, known)
  return known
}

const userName = (n: number): string => `user${n}`
const passwordOf = (n: number): string => `password of ${n}`
const saltOf = (n: number): Buffer => Buffer.alloc(16, n)
const ITERATIONS = 4096

async function storedSecret(n: number): Promise<string> {
  const { storedKey, serverKey } = await deriveScramKeys(passwordOf(n), saltOf(n), ITERATIONS)
  const [salt, stored, server] = [saltOf(n), storedKey, serverKey].map((bytes) => bytes.toString('base64'))
  return `SCRAM-SHA-256$${ITERATIONS}:${salt}$${stored}:${server}`
}

async function startPooler(
  folder: string,
  server: LoadAddress,
  address: LoadAddress,
  kind: Kind,
  count: number,
): Promise<Child> {
  const numbers = Array.from({ length: count }, (_, n) => n)
  const users = await Promise.all(
    numbers.map(async (n) => {
      const secret = kind === 'verifier' ? await storedSecret(n) : passwordOf(n)
      return `[users.${userName(n)}]\npassword = "${secret}"\n`
    }),
  )
  await writeFile(
    join(folder, 'pg_hba.conf'),
    `host all ${address.user} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n`,
  )
  const configFile = join(folder, `pooler-${address.port}.toml`)
  await writeFile(
    configFile,
    `[pooler]
listen_addr = "${address.host}"
listen_port = ${address.port}
listen_backlog = ${2 * LOGINS}
auth_type = "hba"
auth_hba_file = "pg_hba.conf"

[databases.${address.database}]
host = "${server.host}"
port = ${server.port}
user = "${server.user}"

[users.${address.user}]
${users.join('\n')}`,
    { mode: 0o600 },
  )
  const parameters = [COMMAND, configFile]
  const logFile = join(folder, 'pooler.log')
  return Child.start({ command: process.execPath, parameters, logFile, cwd: folder }, address)
}

function report(kind: Kind, { clients, users }: Options, pairs: readonly Pair[]): void {
  const idle = median(pairs.map((pair) => pair.idle.p99Ms ?? Number.NaN))
  const busy = median(pairs.map((pair) => pair.busy.p99Ms ?? Number.NaN))
  const ratios = pairs.map((pair) => (pair.busy.p99Ms ?? Number.NaN) / (pair.idle.p99Ms ?? Number.NaN))
  const ratio = median(ratios)
  const took = median(pairs.map(({ loginsMs }) => loginsMs))
  console.log(
    `${LOGINS} SCRAM logins at once as ${users} users, ${kind} in the configuration, over ${clients} clients that query: ` +
      `p99 ${idle.toFixed(2)} ms without, ${busy.toFixed(2)} ms with them, ` +
      `ratio ${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}), ` +
      `${ratio <= BOUND ? 'within' : 'BEYOND'} ${BOUND}; all were in after ${took.toFixed(0)} ms`,
  )
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    clients: { type: 'string', default: '10' },
    users: { type: 'string', default: '10' },
  },
})
await main({
  pairs: Number(values.pairs),
  clients: Number(values.clients),
  users: Number(values.users),
})
