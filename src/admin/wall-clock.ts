/** A time as the console shows it: `2026-11-25 21:05:15 UTC`; empty for a time that has not come. */
export function wallClock(ms: number): string {
  return ms <= 0 ? '' : `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
