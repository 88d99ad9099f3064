import { createLogger, type Logger } from '../../src/log.ts'
import { DnsCache } from '../../src/net/dns-cache.ts'

/** FakeDns: a DnsCache, and in place of the system what a test says. */
export class FakeDns {
  /** What the system answers; names that are missing do not exist. */
  readonly answers = new Map<string, readonly string[]>()
  /** Every question to the system, in order. */
  readonly questions: string[] = []
  /** Questions wait until this is resolved. */
  delay: Promise<void> | null = null
  readonly cache: DnsCache

  constructor(
    { answerMs = 15_000, failureMs = 15_000 } = {},
    log: Logger = createLogger({ level: 'silent' }).log,
  ) {
    this.cache = new DnsCache({ lookup: this.lookup, ttls: () => ({ answerMs, failureMs }), log })
  }

  readonly lookup = async (name: string): Promise<readonly string[]> => {
    this.questions.push(name)
    await this.delay
    const answer = this.answers.get(name)
    if (answer !== undefined) return answer
    throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' })
  }
}
