import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** CPU time and memory of another process, from /proc; null where there is none (see proc(5)). */

export interface CpuTime {
  readonly userSeconds: number
  readonly systemSeconds: number
}

const UTIME = 11
const STIME = 12

export function cpuTime(pid: number): CpuTime | null {
  const stat = readProc(pid, 'stat')
  if (stat === null) return null
  // The second field is the program's name in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = ticksPerSecond()
  return { userSeconds: Number(fields[UTIME]) / ticks, systemSeconds: Number(fields[STIME]) / ticks }
}

/** User and system time of all threads in microseconds, exact where cpuTime() counts ticks; the threads are to live on. */
export function exactCpuMicros(pid: number): number | null {
  const threads = threadsOf(pid).map((thread) => readProc(pid, `task/${thread}/schedstat`))
  if (threads.length === 0) return null
  return threads.reduce((sum, stat) => sum + Number(stat?.split(' ')[0] ?? 0) / 1000, 0)
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number | null {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readProc(pid, 'status') ?? '')?.[1]
  return kibibytes === undefined ? null : Number(kibibytes) * 1024
}

function readProc(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return null
  }
}

let knownTicks: number | undefined

function ticksPerSecond(): number {
  if (knownTicks === undefined) {
    try {
      knownTicks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
    } catch {
      knownTicks = 100
    }
  }
  return knownTicks
}
