/** What a server connection is doing, and where it is kept meanwhile. */
export const ServerState = {
  /** Connecting or logging in: in generic-pool, being created. */
  Login: 0,
  /** Leased to a client: in its session. */
  Active: 1,
  /** Ready for anybody: on the warm stack of its ServerPool, or parked in generic-pool. */
  Idle: 2,
  /** Asked server_check_query before its next lease: in the checks of its ServerPool. */
  Tested: 3,
  /** Its lease is over, but a CancelRequest for it is still under way: nowhere but in that request. */
  BeingCanceled: 4,
  /** Gone. */
  Closed: 5,
} as const
export type ServerState = (typeof ServerState)[keyof typeof ServerState]
