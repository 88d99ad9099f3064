import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../src/embedded/free-port.ts'
import type { LoadAddress } from '../load/workload.ts'
import { Child } from './child.ts'
import type { Target } from './target.ts'

const PROGRAM = fileURLToPath(new URL('null-backend-main.ts', import.meta.url))

/** NullBackend: the target "direct" of the workloads that have no PostgreSQL behind them, see null-backend-main.ts. */
export class NullBackend implements Target {
  readonly name = 'direct'
  /** It is not what is measured. */
  readonly pid = undefined
  readonly address: LoadAddress
  readonly #child: Child

  private constructor(child: Child, address: LoadAddress) {
    this.#child = child
    this.address = address
  }

  static async start(folder: string): Promise<NullBackend> {
    const address = { host: '127.0.0.1', port: await freePort(), user: 'postgres', database: 'postgres' }
    const child = await Child.start(
      {
        command: process.execPath,
        parameters: ['--import', 'tsx', PROGRAM, String(address.port), address.host],
        logFile: join(folder, 'null-backend.log'),
        cwd: process.cwd(),
      },
      address,
    )
    return new NullBackend(child, address)
  }

  refusal(): undefined {
    return undefined
  }

  async stop(): Promise<void> {
    await this.#child.stop()
  }
}
