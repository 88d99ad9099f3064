/**
 * ConfigError: everything that is wrong with a configuration, at once. Thrown by config.ts and load-toml.ts;
 * the command line prints its message and exits. No problem ever carries the value of a secret setting.
 */

export interface ConfigProblem {
  /** The configuration file as the operator named it, or 'configuration' for one that came as a value. */
  readonly file: string
  /** Path of the key, such as `databases.app.pool_size`; empty where the whole file is meant. */
  readonly key: string
  /** What was expected and, unless the key is a secret, what was there. */
  readonly message: string
}

/** One line of text per problem, in the order of the file. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(line).join('\n'))
    this.problems = Object.freeze([...problems])
  }
}

function line({ file, key, message }: ConfigProblem): string {
  return key === '' ? `${file}: ${message}` : `${file}: ${key}: ${message}`
}
