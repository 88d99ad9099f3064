/** ConnectionIds: a number for each connection of the process, never used again: SHOW CLIENTS, SHOW SERVERS, KILL_CLIENT. */
export class ConnectionIds {
  #last = 0

  next(): number {
    this.#last += 1
    return this.#last
  }
}
