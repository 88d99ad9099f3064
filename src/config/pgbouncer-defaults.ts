/**
 * What holds in a pgbouncer.ini where nothing is written, for each setting whose default is another one in a
 * pooler.toml. The rule: an .ini means PgBouncer's defaults. Settings that only the pooler has keep their own, except
 * where that would cut off what PgBouncer lets go on. Read by ini-input.ts, import-toml.ts and the README's table.
 */

export interface PgbouncerDefault {
  /** As it would be written in TOML. */
  readonly value: string | number
  /** Why it differs from the pooler's own, for the README. */
  readonly why: string
}

/** In [pgbouncer]. Beside these, `host` of each database is unix_socket_dir: see ini-input.ts. */
export const pgbouncerDefaults: Readonly<Record<string, PgbouncerDefault>> = {
  listen_addr: { value: '', why: 'a pooler.toml is for the network of this machine first' },
  unix_socket_dir: { value: '/tmp', why: 'a pooler.toml opens no door that it does not name' },
  max_client_conn: { value: 100, why: 'an idle client costs little' },
  pool_mode: { value: 'session', why: 'transaction pooling is why most people want a pooler' },
  log_format: { value: 'pgbouncer', why: 'JSON is what most collectors of logs take apart by themselves' },
  shutdown_timeout: { value: 0, why: 'PgBouncer waits for clients without limit' },
}
