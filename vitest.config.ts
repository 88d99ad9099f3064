import { defineConfig } from 'vitest/config'

/**
 * Three projects: quick, that is unit and scenario, needs no PostgreSQL (`npm run check` runs it), integration and drivers
 * get a shared cluster and a template for private ones from the global setup.
 *
 * The files of a project take turns in a few processes, one for each core, and share the modules that are loaded
 * there: loading them anew for each file would take longer than the tests. The setup file of all projects watches
 * that no file leaves anything behind for the next.
 */
const CLUSTER_SETUP = './test/support/postgres-global-setup.ts'
/** Where a report for machines is written, besides the one for people. */
const REPORT = process.env.POOLER_TEST_REPORT

export default defineConfig({
  test: {
    retry: 0,
    pool: 'forks',
    isolate: false,
    maxWorkers: '100%',
    // What each file becomes for Node.js, by a hash of its text and of this configuration, in node_modules.
    experimental: { fsModuleCache: true },
    setupFiles: './test/support/leaves-no-trace.ts',
    reporters: REPORT === undefined ? ['default'] : ['default', ['json', { outputFile: REPORT }]],
    projects: [
      {
        extends: true,
        test: {
          name: 'quick',
          include: ['test/unit/**/*.test.ts', 'test/scenario/**/*.test.ts'],
          testTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: CLUSTER_SETUP,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'drivers',
          include: ['test/drivers/**/*.test.ts'],
          globalSetup: CLUSTER_SETUP,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
