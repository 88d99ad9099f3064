import { defineConfig } from 'vitest/config'

/**
 * Four projects: unit and scenario need no PostgreSQL (`npm run check` runs them), integration and drivers
 * get a shared cluster and a template for private ones from the global setup.
 */
const CLUSTER_SETUP = './test/support/postgres-global-setup.ts'
/** Where a report for machines is written, besides the one for people. */
const REPORT = process.env.POOLER_TEST_REPORT

export default defineConfig({
  test: {
    retry: 0,
    reporters: REPORT === undefined ? ['default'] : ['default', ['json', { outputFile: REPORT }]],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 10_000 } },
      { test: { name: 'scenario', include: ['test/scenario/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: CLUSTER_SETUP,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
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
