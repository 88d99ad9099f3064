import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { warnOfFewDescriptors } from './descriptor-check.ts'
import { Pidfile } from './pidfile.ts'
import { Systemd } from './systemd.ts'

/**
 * Service: what this process is to the machine that it runs on: its pidfile, what systemd hears of it, its limit
 * of open files. Made by cli.ts before the pooler listens, and told how it goes on; it knows no pooler.
 */
export class Service {
  readonly #systemd: Systemd
  /** What the process does when it does nothing special; null before it serves and once it stops. */
  #status: string | null = null

  private constructor(systemd: Systemd) {
    this.#systemd = systemd
  }

  /** Rejects with PoolerError F0000 where another process has the pidfile. */
  static async enter(config: Config, openFileLimit: number | undefined, log: Logger): Promise<Service> {
    const { pidfile: path } = config.pooler
    if (path !== undefined) {
      const pidfile = await Pidfile.claim(path)
      // Whichever way the process ends, unless it is killed.
      process.once('exit', () => pidfile.remove())
    }
    warnOfFewDescriptors(config, openFileLimit, log)
    return new Service(new Systemd(log))
  }

  /** Clients are served. */
  ready(status: string): void {
    this.#status = status
    void this.#systemd.ready(status)
  }

  /** A reload begins; reloaded() must follow, also where it failed. Before ready() it is no news. */
  reloading(): void {
    if (this.#status !== null) void this.#systemd.reloading()
  }

  reloaded(): void {
    if (this.#status !== null) void this.#systemd.ready(this.#status)
  }

  stopping(status: string): void {
    this.#status = null
    void this.#systemd.stopping(status)
  }

  /** Resolves when systemd has heard everything. The pidfile stays until the process ends. */
  async leave(): Promise<void> {
    await this.#systemd.close()
  }
}
