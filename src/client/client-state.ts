/** What a client connection is doing, and where it is kept meanwhile. */
export const ClientState = {
  /** From accept to the first ReadyForQuery: in its ClientLogin, later waiting for its welcome. */
  Login: 0,
  /** Logged in, with or without a server. */
  Active: 1,
  /** In the queue of its pool. */
  Waiting: 2,
  /** Gone. */
  Closed: 3,
} as const
export type ClientState = (typeof ClientState)[keyof typeof ClientState]
