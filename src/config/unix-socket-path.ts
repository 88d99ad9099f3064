/** unixSocketPath: where the unix socket of this port is in its folder, for clients and servers alike, as in libpq. */
export function unixSocketPath(folder: string, port: number): string {
  return `${folder.replace(/\/$/, '')}/.s.PGSQL.${port}`
}
