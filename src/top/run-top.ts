import type { ReadStream, WriteStream } from 'node:tty'
import { ConsoleConnection } from './console-connection.ts'
import { type FrameOptions, renderFrame, type SortKey } from './render-frame.ts'
import { type Snapshot, takeSnapshot } from './snapshot.ts'
import type { TopTarget } from './top-target.ts'

/**
 * runTop: `pooler top`. A picture each second until q, Ctrl-C or SIGTERM; without a terminal plain text, for `once` one
 * picture. It owns the terminal's state, and gives it back however it ends.
 */

const PERIOD_MS = 1000
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const KEYS = 'q quit   sort by: w waiting  s queries/s  n name'
const SORTS: Readonly<Record<string, SortKey>> = { w: 'waiting', s: 'queries', n: 'name' }
const QUITS: ReadonlySet<string> = new Set(['q', 'Q', '\x03'])

/** Rejects with a PoolerError: it cannot connect, or the console has refused or gone. */
export async function runTop(
  target: TopTarget,
  once: boolean,
  input: ReadStream,
  output: WriteStream,
): Promise<void> {
  const console = await ConsoleConnection.open(target)
  const screen = output.isTTY && input.isTTY && !once
  let sort: SortKey = 'waiting'
  let quit = false
  let wake = (): void => {}
  let before: Snapshot | undefined
  let now: Snapshot | undefined
  const draw = (): void => {
    if (now === undefined) return
    const room: FrameOptions = screen
      ? { rows: Math.max(output.rows - 1, 1), columns: output.columns, sort }
      : { rows: Number.POSITIVE_INFINITY, columns: Number.POSITIVE_INFINITY, sort }
    const lines = renderFrame(now, before, room)
    if (screen) {
      const text = [...lines, KEYS.slice(0, output.columns)].join(`${CLEAR_LINE}\n`)
      output.write(`${HOME}${text}${CLEAR_LINE}${CLEAR_BELOW}`)
    } else output.write(`${lines.join('\n')}\n${once ? '' : '\n'}`)
  }
  const stop = (): void => {
    quit = true
    wake()
  }
  const onKey = (key: Buffer): void => {
    const text = key.toString()
    if (QUITS.has(text)) stop()
    else if (text in SORTS) {
      sort = SORTS[text] as SortKey
      draw()
    }
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  // A reader that has seen enough, as in "pooler top | head".
  output.on('error', stop)
  if (screen) {
    output.write(ENTER)
    output.on('resize', draw)
    input.setRawMode(true)
    input.on('data', onKey)
  }
  try {
    while (!quit) {
      before = now
      now = await takeSnapshot(console)
      draw()
      if (once || quit) break
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PERIOD_MS)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    if (screen) {
      output.off('resize', draw)
      input.off('data', onKey)
      input.setRawMode(false)
      input.pause()
      output.write(LEAVE)
    }
    console.close()
  }
}
