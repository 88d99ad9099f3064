import { SqlState } from '../errors.ts'
import { encodeNotice } from '../protocol/error-response.ts'
import { actions, shows } from './command-list.ts'

/** SHOW HELP: the commands, as the detail of a notice. */
export function showHelp(): Buffer {
  const lines = [
    `SHOW ${['HELP', ...shows.map(({ name }) => name)].join('|')}`,
    'SET key = arg',
    ...actions.map(({ name, usage }) => (usage === '' ? name : `${name} ${usage}`)),
  ]
  return encodeNotice({
    severity: 'NOTICE',
    sqlState: SqlState.SuccessfulCompletion,
    message: 'Console usage',
    detail: `\n\t${lines.join('\n\t')}\n\t`,
  })
}
