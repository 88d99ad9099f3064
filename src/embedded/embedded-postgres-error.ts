/**
 * EmbeddedPostgresError: why the embedded PostgreSQL cannot be prepared, started or stopped, in one sentence
 * that names the folder or port and what to do. The command line prints it and exits with code 1.
 */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
  }
}
