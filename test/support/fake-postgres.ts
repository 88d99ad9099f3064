import { BodyReader } from '../../src/protocol/body-reader.ts'
import { BackendType } from '../../src/protocol/message-type.ts'
import * as backend from './backend-messages.ts'
import { message } from './frontend-messages.ts'
import type { WireMessage } from './message-stream.ts'
import { closeComplete, described } from './scenario-replies.ts'

/**
 * FakePostgres: as much of a backend session as a pooler can tell from a real one: statements, portals,
 * transactions, parameters, and the rules of the extended protocol after an error. It understands a handful of
 * statements and answers messages with bytes, so that thousands of conversations fit into a second.
 */

class FakeError extends Error {
  readonly code: string

  constructor(code: string, text: string) {
    super(text)
    this.code = code
  }
}

const KNOWN =
  /^(BEGIN|COMMIT|ROLLBACK|FAIL|SELECT \d+|SHOW \w+|SET \w+ TO \w+|RESET \w+|PREPARE \w+ AS SELECT \d+|DEALLOCATE \w+|DISCARD ALL|UNLISTEN \*|CLOSE ALL|SET SESSION AUTHORIZATION DEFAULT|SELECT pg_catalog\.set_config\(.*\)|)$/
const ENDS_TRANSACTION = /^(COMMIT|ROLLBACK)$/
const RETURNS_ROWS = /^(SELECT|SHOW)/
const SET_CONFIG = /set_config\(E'([^']*)', E'([^']*)', false\)/g

export class FakePostgres {
  status: 'I' | 'T' | 'E' = 'I'
  readonly #defaults: ReadonlyMap<string, string>
  readonly #reported: Map<string, string>
  readonly #spelling = new Map<string, string>()
  readonly #statements = new Map<string, string>()
  readonly #portals = new Map<string, { sql: string; done: boolean }>()
  #parameters: Map<string, string>
  /** The parameters when the transaction began, explicit or not; null outside. */
  #before: Map<string, string> | null = null
  #skipping = false
  #out: Buffer[] = []
  #flushed: Buffer[] = []

  /** `parameters` are those that it knows, and it reports all of them. */
  constructor(parameters: Readonly<Record<string, string>>) {
    for (const name of Object.keys(parameters)) this.#spelling.set(name.toLowerCase(), name)
    this.#defaults = new Map(Object.entries(parameters).map(([name, value]) => [name.toLowerCase(), value]))
    this.#parameters = new Map(this.#defaults)
    this.#reported = new Map(this.#defaults)
  }

  /** How many statements it has, the unnamed one included. */
  get statements(): number {
    return this.#statements.size
  }

  /** Takes messages; returns what has left its buffer: all up to the last error, Flush or ReadyForQuery. */
  handle(messages: readonly WireMessage[]): Buffer {
    for (const { type, body } of messages) {
      if (this.#skipping && type !== 'S') continue
      const reader = new BodyReader(body, 0, body.length, type)
      try {
        if (type === 'Q') this.#query(reader.cstring())
        else if (type === 'S') this.#sync()
        else if (type === 'H') this.#flush()
        else if (type === 'X') break
        else this.#extended(type, reader)
      } catch (error) {
        if (!(error instanceof FakeError)) throw error
        this.#fail(error)
        if (type === 'Q') this.#ready()
        else this.#skipping = true
      }
    }
    const bytes = Buffer.concat(this.#flushed)
    this.#flushed = []
    return bytes
  }

  #extended(type: string, reader: BodyReader): void {
    if (type === 'P') {
      const name = reader.cstring()
      const sql = reader.cstring()
      if (name === '') this.#statements.delete(name)
      if (!KNOWN.test(sql)) throw new FakeError('42601', `syntax error at ${sql}`)
      this.#refuseIfFailed(sql)
      if (this.#statements.has(name)) {
        throw new FakeError('42P05', `prepared statement "${name}" already exists`)
      }
      this.#statements.set(name, sql)
      this.#out.push(backend.parseComplete())
    } else if (type === 'B') {
      const portal = reader.cstring()
      const sql = this.#statement(reader.cstring())
      this.#refuseIfFailed(sql)
      if (portal !== '' && this.#portals.has(portal)) {
        throw new FakeError('42P03', `cursor "${portal}" already exists`)
      }
      this.#portals.set(portal, { sql, done: false })
      this.#out.push(backend.bindComplete())
    } else if (type === 'D') {
      const ofStatement = reader.byte() === 0x53
      const name = reader.cstring()
      const sql = ofStatement ? this.#statement(name) : this.#portal(name).sql
      // PostgreSQL would describe what returns no rows; a server that has to be given the statement cannot.
      this.#refuseIfFailed(sql)
      if (ofStatement) this.#out.push(described().subarray(0, 7))
      this.#out.push(RETURNS_ROWS.test(sql) ? backend.rowDescription('value') : message(BackendType.NoData))
    } else if (type === 'E') {
      const portal = this.#portal(reader.cstring())
      if (portal.sql === '') this.#out.push(message(BackendType.EmptyQueryResponse))
      else {
        if (portal.done) throw new FakeError('55000', 'portal cannot be run')
        portal.done = true
        this.#run(portal.sql, false)
      }
    } else if (type === 'C') {
      const ofStatement = reader.byte() === 0x53
      const name = reader.cstring()
      if (ofStatement) this.#statements.delete(name)
      else this.#portals.delete(name)
      this.#out.push(closeComplete())
    } else {
      throw new Error(`FakePostgres does not understand ${type}`)
    }
  }

  #query(text: string): void {
    this.#statements.delete('')
    this.#portals.delete('')
    const parts = text.split(';').map((part) => part.trim())
    const wrong = parts.find((part) => !KNOWN.test(part))
    if (wrong !== undefined) throw new FakeError('42601', `syntax error at ${wrong}`)
    const statements = parts.filter((part) => part !== '')
    if (statements.length === 0) this.#out.push(message(BackendType.EmptyQueryResponse))
    for (const sql of statements) this.#run(sql, true)
    this.#endImplicit()
    this.#ready()
  }

  #sync(): void {
    this.#skipping = false
    this.#endImplicit()
    this.#ready()
  }

  #run(sql: string, describes: boolean): void {
    this.#refuseIfFailed(sql)
    const inTransaction = this.#before !== null
    this.#before ??= new Map(this.#parameters)
    const row = (value: string): void => {
      if (describes) this.#out.push(backend.rowDescription('value'))
      this.#out.push(backend.dataRow(value), backend.commandComplete('SELECT 1'))
    }
    const [command = '', name = '', , value = ''] = sql.split(' ')
    let tag = command
    if (sql.includes('set_config')) {
      for (const [, key = '', setting = ''] of sql.matchAll(SET_CONFIG)) this.#set(key, setting)
      row('set')
      return
    }
    if (command === 'SELECT') {
      row(name)
      return
    }
    if (command === 'SHOW') {
      row(this.#parameters.get(name.toLowerCase()) ?? '')
      return
    }
    switch (command) {
      case 'FAIL':
        throw new FakeError('22012', 'division by zero')
      case 'BEGIN':
        this.status = 'T'
        break
      case 'COMMIT':
      case 'ROLLBACK':
        if (command === 'ROLLBACK' || this.status === 'E') {
          tag = 'ROLLBACK'
          this.#parameters = this.#before
        }
        this.status = 'I'
        this.#before = null
        this.#portals.clear()
        break
      case 'SET':
        if (value !== 'DEFAULT') this.#set(name.toLowerCase(), value)
        break
      case 'RESET':
        if (name === 'ALL') this.#parameters = new Map(this.#defaults)
        else if (name !== 'ROLE') this.#set(name.toLowerCase(), this.#defaults.get(name.toLowerCase()) ?? '')
        break
      case 'PREPARE':
        this.#statements.set(name, sql.slice(sql.indexOf('SELECT')))
        break
      case 'DEALLOCATE':
        tag = name === 'ALL' ? 'DEALLOCATE ALL' : 'DEALLOCATE'
        if (name === 'ALL') this.#statements.clear()
        else {
          this.#statement(name)
          this.#statements.delete(name)
        }
        break
      case 'DISCARD':
        if (inTransaction) throw new FakeError('25001', 'DISCARD ALL cannot run inside a transaction block')
        tag = 'DISCARD ALL'
        this.#statements.clear()
        this.#portals.clear()
        this.#parameters = new Map(this.#defaults)
        break
    }
    this.#out.push(backend.commandComplete(tag))
  }

  #set(name: string, value: string): void {
    if (!this.#defaults.has(name)) throw new FakeError('42704', `unrecognized parameter ${name}`)
    this.#parameters.set(name, value)
  }

  #statement(name: string): string {
    const sql = this.#statements.get(name)
    if (sql !== undefined) return sql
    throw new FakeError('26000', `prepared statement "${name}" does not exist`)
  }

  #portal(name: string): { sql: string; done: boolean } {
    const portal = this.#portals.get(name)
    if (portal !== undefined) return portal
    throw new FakeError('34000', `portal "${name}" does not exist`)
  }

  #refuseIfFailed(sql: string): void {
    if (this.status === 'E' && !ENDS_TRANSACTION.test(sql)) {
      throw new FakeError('25P02', 'current transaction is aborted')
    }
  }

  #fail({ code, message: text }: FakeError): void {
    if (this.#before !== null) this.#parameters = new Map(this.#before)
    if (this.status === 'I') this.#endImplicit()
    else this.status = 'E'
    this.#portals.clear()
    this.#out.push(backend.errorResponse(code, text))
    this.#flush()
  }

  #endImplicit(): void {
    if (this.status !== 'I') return
    this.#before = null
    this.#portals.clear()
  }

  #ready(): void {
    for (const [name, value] of this.#parameters) {
      if (this.#reported.get(name) === value) continue
      this.#reported.set(name, value)
      this.#out.push(backend.parameterStatus(this.#spelling.get(name) ?? name, value))
    }
    this.#out.push(backend.readyForQuery(this.status))
    this.#flush()
  }

  #flush(): void {
    this.#flushed.push(...this.#out)
    this.#out = []
  }
}
