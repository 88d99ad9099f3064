import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CertificateAuthority, type CertificateFiles } from '../test/support/certificates.ts'
import { ALL_OFF, type Feature } from './load/features.ts'
import type { Workload } from './load/workload.ts'
import { BenchDatabase } from './targets/database.ts'
import { NullBackend } from './targets/null-backend.ts'
import { PgbouncerProcess, type PgbouncerProgram } from './targets/pgbouncer-process.ts'
import { buildPooler, PoolerProcess, type PoolerProcessOptions } from './targets/pooler-process.ts'
import type { Target } from './targets/target.ts'

/**
 * Stage: everything that runs during a benchmark, in one temporary folder; close() leaves nothing behind. It
 * owns the targets' processes.
 */

const FOLDER_MODE = 0o755

export interface StageOptions {
  readonly poolSize: number
  readonly maxClients: number
  readonly scale: number
  readonly pgbouncer: PgbouncerProgram | null
  /** TLS is measured, too; needs the openssl command. */
  readonly tls: boolean
  /** The command `bun`, where there is one. */
  readonly bun: string | null
  /** What is measured on and off. */
  readonly features: readonly Feature[]
  readonly say: (line: string) => void
}

export class Stage {
  /** Measured in this order. */
  readonly targets: Target[] = []
  /** Those that ask for passwords and offer TLS. */
  readonly #secured: Target[] = []
  /** Those that have canned answers behind them instead of PostgreSQL. */
  readonly #withoutServer: Target[] = []
  /** Poolers with one feature each, and the one that has none of them. */
  readonly #featured = new Map<Feature, Target>()
  readonly #options: StageOptions
  readonly #folder: string

  private constructor(options: StageOptions, folder: string) {
    this.#options = options
    this.#folder = folder
  }

  static async open(options: StageOptions): Promise<Stage> {
    const stage = new Stage(options, await mkdtemp(join(tmpdir(), 'pooler-bench-')))
    try {
      await stage.#open()
      return stage
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  /** Where a workload is measured. */
  targetsOf({ backend, login, feature }: Workload): readonly Target[] {
    if (feature !== undefined) return this.#besides(feature)
    if (login !== undefined) return this.#secured
    return backend === 'null' ? this.#withoutServer : this.targets
  }

  /** PostgreSQL itself, the pooler without the feature and with it, PgBouncer. */
  #besides(feature: Feature): Target[] {
    const others = this.targets.filter(({ name }) => name === 'direct' || name === 'pgbouncer')
    const [off, on] = [this.#featured.get(ALL_OFF), this.#featured.get(feature)]
    if (off === undefined || on === undefined) throw new Error(`no pooler has ${feature.setting}`)
    return [...others.slice(0, 1), off, on, ...others.slice(1)]
  }

  /** New processes with no history, for measuring memory; stopped by the caller. */
  freshPoolers(): readonly (() => Promise<Target>)[] {
    return this.#poolersBefore(this.targets)
  }

  /** Null where there is no openssl to make one. */
  async #certificate() {
    if (!this.#options.tls) return null
    const authority = await CertificateAuthority.create(join(this.#folder, 'certificates'))
    const files = await authority.issue('localhost', { names: ['IP:127.0.0.1'] })
    return { files, postgres: await authority.postgresSettings(files) }
  }

  #poolersBefore(
    targets: readonly Target[],
    certificate?: CertificateFiles,
  ): readonly (() => Promise<Target>)[] {
    const { pgbouncer, bun } = this.#options
    const options = { ...this.#poolerOptions(targets), certificate }
    const starts: (() => Promise<Target>)[] = [() => PoolerProcess.start(options)]
    if (bun !== null) starts.push(() => PoolerProcess.start({ ...options, bun }))
    if (pgbouncer !== null) starts.push(() => PgbouncerProcess.start(pgbouncer, options))
    return starts
  }

  async close(): Promise<void> {
    // Newest first: the poolers before the database behind them.
    for (const target of this.#featured.values()) await target.stop()
    this.#featured.clear()
    for (const targets of [this.#withoutServer, this.#secured, this.targets])
      for (const target of targets.splice(0).reverse()) await target.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #open(): Promise<void> {
    const { scale, say } = this.#options
    // As root, PostgreSQL and PgBouncer run as another user, who must be able to come in.
    await chmod(this.#folder, FOLDER_MODE)
    say('building the pooler')
    await buildPooler()
    say(`starting PostgreSQL and filling pgbench's tables, scale ${scale}`)
    const certificate = await this.#certificate()
    const database = await BenchDatabase.start(this.#folder, scale, certificate?.postgres)
    this.targets.push(database)
    this.#secured.push(database.secured)
    this.#withoutServer.push(await NullBackend.start(this.#folder))
    for (const targets of [this.targets, this.#withoutServer])
      for (const start of this.#poolersBefore(targets)) targets.push(await start())
    const features = new Set(this.#options.features)
    for (const feature of features.size === 0 ? [] : [ALL_OFF, ...features])
      this.#featured.set(feature, await this.#startWith(feature))
    for (const start of this.#poolersBefore(this.#secured, certificate?.files))
      this.#secured.push(await start())
  }

  #startWith(feature: Feature): Promise<Target> {
    return PoolerProcess.start({
      ...this.#poolerOptions(this.targets),
      name: feature === ALL_OFF ? 'off' : 'on',
      settings: feature.pooler,
      databaseSettings: feature.database,
    })
  }

  #poolerOptions([database]: readonly Target[]): PoolerProcessOptions {
    if (database === undefined) throw new Error('the database is not started')
    const { poolSize, maxClients } = this.#options
    return { folder: this.#folder, server: database.address, poolSize, maxClients }
  }
}
