import { readFile } from 'node:fs/promises'
import { PoolerError, SqlState } from '../errors.ts'

const GROUPS = '/etc/group'
/** The highest number is no group's: it stands for "leave it as it is" (chown(2)). */
const HighestGroup = 2 ** 32 - 2

/**
 * groupId: the number of the group that unix_socket_group names, by its number or by a name in /etc/group (see
 * group(5)). Rejects with PoolerError F0000 where there is none. `groups` is the file, for tests.
 */
export async function groupId(group: string, groups = GROUPS): Promise<number> {
  if (/^\d+$/.test(group)) {
    if (Number(group) <= HighestGroup) return Number(group)
    throw misconfigured(`there is no group with the number ${group}`)
  }
  const text = await readFile(groups, 'utf8').catch((error: Error) => {
    throw misconfigured(`${groups} cannot be read (${error.message}); write the number of the group`)
  })
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':')
    if (name === group && number !== undefined && /^\d+$/.test(number)) return Number(number)
  }
  throw misconfigured(
    `there is no group ${JSON.stringify(group)} in ${groups}; groups of a directory service are named by number`,
  )
}

function misconfigured(message: string): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, `unix_socket_group: ${message}`)
}
