import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { letters, rows } from './backend-message.ts'
import type { Conversation } from './differential-conversation.ts'
import { written } from './differential-conversation.ts'
import { Player, playAll, type Record } from './differential-player.ts'
import { RESET, SCHEMA } from './differential-vocabulary.ts'
import { eventually } from './eventually.ts'
import * as f from './frontend-messages.ts'
import type { TestPooler } from './pooler.ts'
import { startPooler } from './pooler.ts'
import type { TestDatabase } from './postgres.ts'
import { createDatabase } from './postgres.ts'
import { RawClient, type RawClientOptions } from './raw-client.ts'

/**
 * Scene: a database, and for each play a fresh pooler in front of it. It plays conversations against PostgreSQL,
 * then against the pooler, and says where the answers differ and what the pooler has not cleaned up.
 */

/** The pooler of one play. */
export interface Setup {
  readonly poolSize: number
  readonly maxPrepared: number
  readonly prepareUnnamed: boolean
  readonly lazyBegin: boolean
  readonly mode: 'transaction' | 'session'
}

/** One step of a plan: whose turn it is, who goes at the same time, and whether a stranger holds a server. */
export interface Round {
  readonly first: number
  readonly second: number | null
  readonly held: boolean
}

export interface Play {
  readonly setup: Setup
  readonly conversations: readonly Conversation[]
  /** null: every client goes as fast as it can. */
  readonly rounds: readonly Round[] | null
}

const CLEAN = `SELECT name, setting FROM pg_settings WHERE setting <> reset_val AND context = 'user' AND name NOT LIKE 'transaction%'
  UNION ALL SELECT 'role', current_user || session_user
  UNION ALL SELECT 'statement ' || name, statement FROM pg_prepared_statements WHERE name NOT LIKE 'pooler%'
  UNION ALL SELECT 'cursor ' || name, statement FROM pg_cursors
  UNION ALL SELECT 'lock', locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
  ORDER BY 1, 2`

/** Silence for so long is a hang. */
export const DEADLINE_MS = 6000
/** The same while a failure is being made smaller: it is known to be one. */
export const SHRINKING_DEADLINE_MS = 600

/** An error may bring back statements that were to be closed for others; their number is no more than was pipelined. */
const RESTORED = 20

/** After a backend has crashed all connections end, but not in the same moment. */
const CRASH_IS_TOLD_MS = 300
/** More crashes than this are not PostgreSQL's bad luck: PostgreSQL 18.4 has one in some ten thousand plays. */
const MAX_CRASHES = 3

export class Scene {
  readonly #database: TestDatabase
  #admin: RawClient
  #crashes = 0
  readonly #reset: string
  #clean = ''

  /** Unnamed Parse messages that were answered without a server, in all plays. */
  unnamedReuses = 0

  private constructor(database: TestDatabase, admin: RawClient, reset: string) {
    this.#database = database
    this.#admin = admin
    this.#reset = reset
  }

  /** `reset` brings the database back to what conversations begin with. */
  static async open(reset = RESET): Promise<Scene> {
    const database = await createDatabase()
    const admin = await RawClient.connect(database)
    const scene = new Scene(database, admin, reset)
    await admin.query(SCHEMA)
    scene.#clean = await scene.#look(admin)
    return scene
  }

  async close(): Promise<void> {
    this.#admin.destroy()
    await this.#database.drop()
  }

  get login(): RawClientOptions {
    const { host, port, user, password, database } = this.#database
    return { host, port, user, password, database }
  }

  async startPooler(setup: Setup): Promise<TestPooler> {
    return startPooler({
      server: this.login as Required<RawClientOptions>,
      pooler: {
        default_pool_size: setup.poolSize,
        max_prepared_statements: setup.maxPrepared,
        prepare_unnamed: setup.prepareUnnamed,
        lazy_begin: setup.lazyBegin,
        pool_mode: setup.mode,
      },
    })
  }

  /** Plays against both; returns what is wrong, in words. A play in which PostgreSQL itself crashes shows nothing. */
  async play(play: Play, shrinking = false): Promise<string[]> {
    try {
      const problems = await this.#playBoth(play, shrinking)
      if (problems.length > 0 && !shrinking && (await this.#hasCrashed())) return []
      return problems
    } catch (error) {
      if (await this.#hasCrashed()) return []
      throw error
    }
  }

  async #hasCrashed(): Promise<boolean> {
    await delay(CRASH_IS_TOLD_MS)
    const lives = await this.#admin.query('SELECT 1').then(
      () => true,
      () => false,
    )
    if (lives) return false
    this.#crashes += 1
    if (this.#crashes > MAX_CRASHES) throw new Error(`PostgreSQL crashed ${this.#crashes} times`)
    const back = () => RawClient.connect(this.#database).catch(() => null)
    this.#admin = (await eventually('PostgreSQL to be back', back, (client) => client !== null)) as RawClient
    return true
  }

  async #playBoth(play: Play, shrinking: boolean): Promise<string[]> {
    const deadlineMs = shrinking ? SHRINKING_DEADLINE_MS : DEADLINE_MS
    await this.reset()
    const references = await Promise.all(play.conversations.map((one) => this.reference(one)))
    await this.reset()
    const pooler = await this.startPooler(play.setup)
    const problems: string[] = []
    try {
      if (play.setup.prepareUnnamed) for (const one of play.conversations) await this.#introduce(pooler, one)
      const players = await Promise.all(
        play.conversations.map((one, index) =>
          Player.connect(this.through(pooler, one), deadlineMs, references[index] as Record),
        ),
      )
      if (play.rounds === null) {
        await Promise.all(
          players.map((player, index) => playAll(player, play.conversations[index] as Conversation)),
        )
      } else await this.#playRounds(pooler, players, play)
      players.forEach((player, index) => {
        const { divergence } = player
        if (divergence === null || divergence.accepted) return
        problems.push(
          `client ${index}, message ${divergence.at}: ${divergence.what}`,
          ...around(player, references[index] as Record),
        )
      })
      for (const player of players) await player.leave()
      if (problems.length === 0) problems.push(...(await this.inspect(pooler, play.setup)))
    } catch (error) {
      problems.push(String(error))
    }
    this.unnamedReuses += pooler.stats.unnamedReuses
    await pooler.stop().catch((error: unknown) => problems.push(`stop: ${error}`))
    if (problems.length === 0 && pooler.stats.statements !== 0) {
      problems.push(`${pooler.stats.statements} statements are left in the registry`)
    }
    return problems
  }

  async reset(): Promise<void> {
    // A backend whose client has gone may still be at work, and commit after the reset.
    await eventually(
      'every other backend to be gone',
      async () =>
        rows(
          await this.#admin.query(
            'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
          ),
        ),
      (others) => others.length === 0,
    )
    const reply = await this.#admin.query(this.#reset)
    expect(letters(reply).includes('E'), 'the tables could not be reset').toBe(false)
  }

  /** What is wrong with a pooler whose clients have all left. */
  async inspect(pooler: TestPooler, setup: Setup): Promise<string[]> {
    const problems: string[] = []
    await eventually(
      'every client, lease and place in a queue to be given back',
      () => pooler.stats,
      ({ clients, pools }) => clients === 0 && pools.every(({ active, waiting }) => active + waiting === 0),
    )
    const servers = pooler.stats.pools[0]?.servers ?? 0
    if (servers > setup.poolSize) problems.push(`${servers} servers in a pool of ${setup.poolSize}`)
    // Each probe keeps its server until all have one, so that every server is seen.
    const probes = await Promise.all(
      Array.from({ length: setup.poolSize }, () => RawClient.connect(this.through(pooler, null))),
    )
    for (const probe of probes) {
      await probe.query('BEGIN')
      const found = await this.#look(probe)
      if (found !== this.#clean) problems.push(`a server is not clean: ${found}`)
      const count = Number(
        await probe.value("SELECT count(*) FROM pg_prepared_statements WHERE name <> 'pooler_deallocated'"),
      )
      if (count > setup.maxPrepared + RESTORED && setup.mode === 'transaction')
        problems.push(`${count} statements are prepared`)
    }
    for (const probe of probes) {
      await probe.query('ROLLBACK')
      probe.end()
      await probe.closed()
    }
    await eventually(
      'the probes to be gone',
      () => pooler.stats.clients,
      (clients) => clients === 0,
    )
    return problems
  }

  /** How a client of the pooler logs in. */
  /** Has the pooler seen the unnamed statements of a conversation twice, so that it prepares them. */
  async #introduce(pooler: TestPooler, conversation: Conversation): Promise<void> {
    const client = await RawClient.connect(this.through(pooler, conversation))
    const sync = f.sync()
    for (const { segments } of conversation.turns)
      for (const { messages } of segments)
        for (const { label, bytes } of messages) {
          if (!label.startsWith('Parse "" "')) continue
          await client.roundTrip(bytes, sync)
          await client.query('')
          await client.roundTrip(bytes, sync)
        }
    client.end()
  }

  through(pooler: TestPooler, conversation: Conversation | null): RawClientOptions {
    const { host, port } = pooler
    const { user, database } = this.#database
    return { host, port, user, database, parameters: conversation?.startup ?? {} }
  }

  /** What PostgreSQL answers to a conversation. */
  async reference(conversation: Conversation): Promise<Record> {
    const player = await Player.connect({ ...this.login, parameters: conversation.startup }, DEADLINE_MS)
    await playAll(player, conversation)
    if (player.divergence !== null) throw new Error(`PostgreSQL itself: ${player.divergence.what}`)
    return player.record
  }

  async #playRounds(pooler: TestPooler, players: readonly Player[], play: Play): Promise<void> {
    const turnsPlayed = players.map(() => 0)
    const next = async (index: number): Promise<void> => {
      const player = players[index] as Player
      const { turns, hurry } = play.conversations[index] as Conversation
      const number = turnsPlayed[index] as number
      const turn = turns[number]
      turnsPlayed[index] = number + 1
      if (turn === undefined) return
      if (number === turns.length - 1) await player.playLast(turn, hurry)
      else if (!player.over) await player.playTurn(turn, number)
      if (player.divergence !== null) await player.leave()
    }
    const busy = () =>
      players.flatMap((_, index) => {
        const { turns } = play.conversations[index] as Conversation
        return (turnsPlayed[index] as number) < turns.length ? [index] : []
      })
    const stranger = play.setup.poolSize > 1 ? await RawClient.connect(this.through(pooler, null)) : null
    const rounds = play.rounds ?? []
    for (let number = 0; busy().length > 0; number += 1) {
      const { first, second, held } = rounds[number % rounds.length] as Round
      const candidates = busy()
      const one = candidates[first % candidates.length] as number
      const others = candidates.filter((index) => index !== one)
      const other =
        second === null || play.setup.poolSize < 2 || held ? undefined : others[second % others.length]
      if (held) await stranger?.query('BEGIN')
      await Promise.all([next(one), ...(other === undefined ? [] : [next(other)])])
      if (held) await stranger?.query('ROLLBACK')
    }
    stranger?.end()
  }

  async #look(client: RawClient): Promise<string> {
    return JSON.stringify(rows(await client.query(CLEAN)))
  }
}

/** The play in lines, for a report. */
export function writtenPlay(play: Play): string[] {
  return [
    JSON.stringify(play.setup),
    play.rounds === null ? 'all at once' : `rounds ${JSON.stringify(play.rounds)}`,
    ...play.conversations.flatMap((one, index) => [`client ${index}`, ...written(one)]),
  ]
}

/** What both sides said before they differed. */
export function around(player: Player, reference: Record): string[] {
  const from = Math.max(0, player.lines.length - 8)
  return [
    '      both:       ',
    ...player.lines.slice(from, -1).map((line) => `        ${line.slice(0, 100)}`),
    '      PostgreSQL goes on:',
    ...reference.lines
      .slice(player.lines.length - 1, player.lines.length + 4)
      .map((line) => `        ${line.slice(0, 100)}`),
    '      the pooler:',
    ...player.lines.slice(-1).map((line) => `        ${line.slice(0, 100)}`),
  ]
}
