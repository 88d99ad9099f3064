/**
 * createLogger: the pino root logger of the process. The composition root makes one and hands it, or
 * children of it, to whoever logs. Lines are collected and written in the background, so that logging never
 * waits for a disk or a pipe; what is still collected at the exit of the process is written then.
 */
import { writeSync } from 'node:fs'
import type { Logger } from 'pino'
import { pino } from 'pino'

export type { Logger }

export interface LoggerOptions {
  /** The least important level that is written. */
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** The file descriptor to write to; standard output where it is not given. */
  readonly fd?: number
}

export interface RootLogger {
  readonly log: Logger
  /** Resolves when every line logged before the call is written, or cannot be. Never rejects. */
  flush(): Promise<void>
}

const StandardOutput = 1
const StandardError = 2
/** How long a line may stay in memory when few follow it. */
const FlushDelayMs = 200
const CollectedBytes = 4096
/** More than this is dropped rather than kept when nobody takes the lines. */
const MaxWaitingBytes = 16 * 1024 * 1024
const SecretKeys: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'secret',
  'clientKey',
  'serverKey',
  'storedKey',
  'saltedPassword',
])
const Redacted = '[redacted]'
/** As deep as secrets are looked for in what is logged. */
const RedactedDepth = 3

/** Makes the root logger: JSON lines, one per event, with secrets replaced by "[redacted]". */
export function createLogger({ level, fd = StandardOutput }: LoggerOptions): RootLogger {
  const output = pino.destination({
    dest: fd,
    sync: false,
    minLength: CollectedBytes,
    maxLength: MaxWaitingBytes,
  })
  let failed = false
  // Without a listener a full disk would end the process; pino itself only takes care of a closed pipe.
  output.on('error', (error: Error) => {
    if (failed) return
    failed = true
    report(error)
    // Unregisters pino's flush at the exit of the process: it repeats a write that fails until it succeeds,
    // so that the process could not end. Writing in the background goes on.
    output.emit('close')
  })

  let flushIsDue = false
  const stream = {
    write(line: string): void {
      output.write(line)
      if (flushIsDue) return
      flushIsDue = true
      // A timer per burst, not an interval: an idle pooler writes nothing, a forgotten logger costs nothing.
      setTimeout(() => {
        flushIsDue = false
        output.flush(ignore)
      }, FlushDelayMs).unref()
    },
  }
  const log = pino(
    {
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      // pino's own is quick for names without wildcards only, which take longer than the rest of the line.
      redact: { paths: [...SecretKeys], censor: Redacted },
      formatters: { log: (object) => withoutSecrets(object) },
      serializers: { err: withoutResponse },
    },
    stream,
  )
  return {
    log,
    async flush() {
      // If a write is under way, the first call waits for that one only; the lines collected meanwhile are
      // the second call's.
      await flushed(output)
      await flushed(output)
    },
  }
}

type Output = ReturnType<typeof pino.destination>

function flushed(output: Output): Promise<void> {
  return new Promise((resolve) => output.flush(() => resolve()))
}

/** Whatever goes wrong in a flush also reaches the error listener. */
function ignore(): void {}

/** A PoolerError may carry a whole ErrorResponse of the server; its bytes are noise in a log. */
function withoutResponse(error: Error): object {
  return withoutSecrets({ ...pino.stdSerializers.err(error), response: undefined })
}

/** The same object, or a copy where something had to be replaced. Errors are their serializer's business. */
function withoutSecrets(object: object, depth = RedactedDepth): Record<string, unknown> {
  const entries = object as Record<string, unknown>
  let copy: Record<string, unknown> | undefined
  for (const key in entries) {
    const value = entries[key]
    let shown = value
    if (SecretKeys.has(key)) shown = Redacted
    else if (depth > 1 && typeof value === 'object' && value !== null && !(value instanceof Error)) {
      shown = withoutSecrets(value, depth - 1)
    }
    if (shown === value) continue
    copy ??= { ...entries }
    copy[key] = shown
  }
  return copy ?? entries
}

function report(error: Error): void {
  try {
    writeSync(StandardError, `pooler: the log cannot be written (${error.message}); lines are being lost\n`)
  } catch {
    // Standard error is gone too: there is nobody left to tell.
  }
}
