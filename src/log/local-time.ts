/** Places whose English knows the abbreviations of their own time zones; elsewhere ICU writes GMT+1. */
const LOCALES = ['en-US', 'en-GB', 'en-AU', 'en-IN', 'en-ZA', 'en-CA']
const MINUTE_MS = 60_000

/**
 * LocalTime: times as `2026-11-25 21:05:15.123 UTC`, in the time zone of the process, as strftime's %Z names it, or as
 * `+0530` where it has no abbreviation. It keeps the last minute's text: lines come in bursts.
 */
export class LocalTime {
  #minute = Number.NaN
  #upToMinute = ''
  #zone = ''

  text(time: Date): string {
    const ms = time.getTime()
    const minute = Math.floor(ms / MINUTE_MS)
    if (minute !== this.#minute) this.#keep(minute, time)
    const inMinute = ms - minute * MINUTE_MS
    const seconds = String(Math.floor(inMinute / 1000)).padStart(2, '0')
    const millis = String(inMinute % 1000).padStart(3, '0')
    return `${this.#upToMinute}:${seconds}.${millis} ${this.#zone}`
  }

  #keep(minute: number, time: Date): void {
    const two = (number: number): string => String(number).padStart(2, '0')
    const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
    this.#minute = minute
    this.#upToMinute = `${day} ${two(time.getHours())}:${two(time.getMinutes())}`
    this.#zone = zoneOf(time)
  }
}

function zoneOf(time: Date): string {
  for (const locale of LOCALES) {
    const parts = new Intl.DateTimeFormat(locale, { timeZoneName: 'short' }).formatToParts(time)
    const name = parts.find(({ type }) => type === 'timeZoneName')?.value ?? ''
    if (/^[A-Z]{2,5}$/.test(name)) return name
  }
  const minutes = -time.getTimezoneOffset()
  const sign = minutes < 0 ? '-' : '+'
  const two = (number: number): string => String(Math.floor(number)).padStart(2, '0')
  return `${sign}${two(Math.abs(minutes) / 60)}${two(Math.abs(minutes) % 60)}`
}
