import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ConfigInput } from '../../src/config/config.ts'
import { eventually } from './eventually.ts'
import type { TestPooler } from './pooler.ts'
import { startPooler } from './pooler.ts'

import type { TestDatabase } from './postgres.ts'
import { createDatabase } from './postgres.ts'
import { Stage } from './stage.ts'
import { transcript } from './transcript.ts'

/**
 * stories: the heart of the protocol tests. A story is one sequence of wire messages; it runs against PostgreSQL
 * directly and then against the pooler in front of it, and every client must have received the same. What only a
 * pooler does (sharing, refusing, cleaning up) is told by `pooled` tests. Owns one database per test file.
 */

/** Further settings of the pooler, and the one that nearly every story turns. */
export interface StoryOptions extends ConfigInput {
  /** Server connections of the pool; 1 unless given, so that clients must share. */
  poolSize?: number
}

export interface Stories {
  /** Registers a test that runs `tell` against both targets and compares what the clients received. */
  story(name: string, tell: (stage: Stage) => Promise<void>, options?: StoryOptions): void
  /** Registers a test of the pooler alone. */
  pooled(name: string, run: (stage: Stage, pooler: TestPooler) => Promise<void>, options?: StoryOptions): void
}

/** Registers the database of a test file and returns its story tellers. Call once per file. */
export function stories(): Stories {
  let database: TestDatabase
  let admin: Client

  beforeAll(async () => {
    database = await createDatabase()
    admin = new Client({ connectionString: database.url })
    await admin.connect()
  })

  afterAll(async () => {
    await admin.end()
    await database.drop()
  })

  function setting() {
    return { database: database.database, admin, password: database.password }
  }

  async function backends(): Promise<{ state: string; query: string }[]> {
    const { rows } = await admin.query<{ state: string; query: string }>(
      `SELECT coalesce(state, backend_type) AS state, query FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    )
    return rows
  }

  async function nobodyIsLeft(): Promise<void> {
    await eventually('every backend of the story to be gone', backends, (found) => found.length === 0)
  }

  async function resetDatabase(): Promise<void> {
    await admin.query('SELECT pg_advisory_unlock_all()')
    await admin.query('DROP SCHEMA IF EXISTS public CASCADE')
    await admin.query('CREATE SCHEMA public')
  }

  async function runDirect(tell: (stage: Stage) => Promise<void>): Promise<string[][]> {
    await resetDatabase()
    const stage = new Stage('PostgreSQL', database, setting())
    await stage.play(tell)
    stage.dismiss()
    await nobodyIsLeft()
    return stage.clients.map((client) => transcript(client.received, client.startParameters))
  }

  async function runPooled(
    tell: (stage: Stage, pooler: TestPooler) => Promise<void>,
    options: StoryOptions,
  ): Promise<string[][]> {
    const { poolSize = 1, pooler: settings, ...sections } = options
    const { host, port, user, password } = database
    await resetDatabase()
    const pooler = await startPooler({
      server: { host, port, user, password },
      pooler: { default_pool_size: poolSize, ...settings },
      ...sections,
    })
    try {
      const stage = new Stage('the pooler', pooler, setting())
      await stage.play((played) => tell(played, pooler))
      stage.dismiss()
      await eventually(
        `the servers to be clean and at most ${poolSize} once their clients have left`,
        backends,
        (found) => found.length <= poolSize && found.every(({ state }) => state === 'idle'),
      )
      await eventually(
        'every client, lease and place in a queue to be given back',
        () => pooler.stats,
        ({ clients, pools }) => clients === 0 && pools.every(({ active, waiting }) => active + waiting === 0),
      )
      await pooler.stop()
      await nobodyIsLeft()
      expect(pooler.stats.statements, 'statements that nobody refers to any more').toBe(0)
      return stage.clients.map((client) => transcript(client.received, client.startParameters))
    } catch (error) {
      // The story's own failure is the news, not what it leaves behind.
      await pooler.stop().catch(() => {})
      throw error
    }
  }

  return {
    story(name, tell, options = {}) {
      test(name, async () => {
        const direct = await runDirect(tell)
        // Set while a story is being written, to see it against PostgreSQL alone.
        if (process.env.STORY_TARGET === 'postgres') return
        const pooled = await runPooled(tell, options)
        expect(pooled, 'what the clients of the pooler received').toEqual(direct)
      })
    },
    pooled(name, run, options = {}) {
      test(name, async () => {
        await runPooled(run, options)
      })
    },
  }
}
