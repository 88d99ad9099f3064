import { PoolerError, SqlState } from '../errors.ts'

/** A message whose length word cannot be right, or one that is too long to be taken. */
export function invalidMessage(type: number, total: number): PoolerError {
  const length = total - 1
  return new PoolerError(
    SqlState.ProtocolViolation,
    `invalid message: type 0x${type.toString(16).padStart(2, '0')}, length ${length}`,
  )
}
