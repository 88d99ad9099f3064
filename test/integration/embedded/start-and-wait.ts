import { EmbeddedPostgres } from '../../../src/embedded/embedded-postgres.ts'

/**
 * A program for the tests: starts the embedded PostgreSQL in the folder that it is given, prints its URL and
 * process number, and waits to be killed.
 */
const postgres = new EmbeddedPostgres({ folder: process.argv[2] ?? '', initdbParameters: ['--no-sync'] })
await postgres.start()
process.stdout.write(`${JSON.stringify({ url: postgres.url(), pid: postgres.pid })}\n`)
