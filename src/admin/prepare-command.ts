import { SqlState } from '../errors.ts'
import { encodeNotice } from '../protocol/error-response.ts'
import type { Column } from '../protocol/result-set.ts'
import type { AdminContext } from './admin-context.ts'
import type { Access, Outcome } from './command.ts'
import { actions, shows } from './command-list.ts'
import { FAKE_PARAMETERS, showParameter } from './fake-parameters.ts'
import { consoleError, parseCommand } from './parse-command.ts'
import { setSetting } from './set-setting.ts'
import { showHelp } from './show-help.ts'

/** A command that may be run, with the columns of its answer if it is a table. */
export interface Prepared {
  readonly columns: readonly Column[] | undefined
  run(): Outcome | Promise<Outcome>
  /** Takes back what run() waits for; undefined where it cannot be given up. */
  readonly interrupt?: () => void
}

const SET_IGNORED = encodeNotice({
  severity: 'NOTICE',
  sqlState: SqlState.SuccessfulCompletion,
  message: 'SET ignored',
})

/**
 * Finds the command that a text means, and checks that `access` allows it. Null for an empty text. Throws PoolerError:
 * no such command, not allowed.
 */
export function prepareCommand(sql: string, access: Access, context: AdminContext): Prepared | null {
  const command = parseCommand(sql)
  if (command === undefined) return null
  const { verb, argument, value } = command
  const needAdmin = (): void => {
    if (access !== 'admin') throw consoleError('admin access needed', SqlState.InsufficientPrivilege)
  }
  if (verb === 'SET') {
    if (argument === undefined || value === undefined) throw consoleError('bad arguments')
    if (FAKE_PARAMETERS.has(argument))
      return { columns: undefined, run: () => ({ tag: 'SET', notice: SET_IGNORED }) }
    needAdmin()
    return { columns: undefined, run: () => setSetting(context, argument, value) }
  }
  if (verb === 'SHOW') return prepareShow(argument, needAdmin, context)
  const action = actions.find(({ name }) => name === verb)
  if (action === undefined) throw consoleError(`invalid command '${sql.trim()}', use SHOW HELP;`)
  needAdmin()
  return {
    columns: undefined,
    ...(action.interrupt && { interrupt: () => action.interrupt?.(context, argument) }),
    run: () => {
      context.log.info({ command: action.name, argument }, 'command issued')
      const done = action.run(context, argument)
      const outcome: Outcome = { tag: action.name }
      return done instanceof Promise ? done.then(() => outcome) : outcome
    },
  }
}

function prepareShow(argument: string | undefined, needAdmin: () => void, context: AdminContext): Prepared {
  const name = (argument ?? 'HELP').toUpperCase()
  if (name === 'HELP') return { columns: undefined, run: () => ({ tag: 'SHOW', notice: showHelp() }) }
  const parameter = showParameter(name.toLowerCase())
  if (parameter !== undefined)
    return { columns: parameter.columns, run: () => ({ tag: 'SHOW', table: parameter }) }
  const show = shows.find((one) => one.name === name)
  if (show === undefined) throw consoleError(`invalid command 'SHOW ${argument}', use SHOW HELP;`)
  if (show.access === 'admin') needAdmin()
  const { columns } = show
  return { columns, run: () => ({ tag: 'SHOW', table: { columns, rows: show.rows(context) } }) }
}
