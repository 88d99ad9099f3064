import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'

/**
 * NotifyHelper: a shell that runs systemd-notify for each line that it reads, one after the other, and ends when
 * this process does. Starting a program costs a process the more the larger it is (with 500 MB of memory some
 * 60 ms in which no client is served), so it is started once, while this one is small, and not for each ping of
 * the watchdog. Used by Systemd; owns the shell.
 */

/** Signals for the whole group end it no sooner than this process: there may be something left to say. */
const SCRIPT = `
trap '' HUP INT TERM
IFS=$(printf '\\t')
while read -r first second third; do
  complaint=$(systemd-notify "--pid=$1" "$first" \${second:+"$second"} \${third:+"$third"} 2>&1 </dev/null)
  printf '%s %s\\n.\\n' "$?" "$complaint"
done
`
const EndOfReply = '\n.\n'

export class NotifyHelper {
  readonly #shell: ChildProcessWithoutNullStreams
  /** Who waits for a reply, in the order in which they come. */
  readonly #waiting: ((problem: string | undefined) => void)[] = []
  #replies = ''
  #failure: string | undefined

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'sh', String(process.pid)], { env: environment })
    this.#shell = shell
    shell.stdout.on('data', (chunk: Buffer) => this.#read(chunk.toString()))
    shell.stderr.resume()
    // Writing to a shell that is gone; 'close' says what that means.
    shell.stdin.on('error', () => {})
    shell.once('error', (error) => this.#fail(error.message))
    shell.once('close', () => this.#fail('the shell that runs it has ended'))
    // Nobody waits for it at the end of this process.
    shell.unref()
    for (const pipe of [shell.stdin, shell.stdout, shell.stderr]) {
      if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
    }
  }

  /** Sends up to three assignments as one message; resolves with why that failed, or with undefined. */
  notify(assignments: readonly string[]): Promise<string | undefined> {
    if (this.#failure !== undefined) return Promise.resolve(this.#failure)
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      // Tabs separate them and a newline ends the message, so that there are none inside.
      this.#shell.stdin.write(`${assignments.map((text) => text.replace(/[\t\n]/g, ' ')).join('\t')}\n`)
    })
  }

  /** It ends after what it is doing. */
  close(): void {
    this.#shell.stdin.end()
  }

  #read(text: string): void {
    const replies = (this.#replies + text).split(EndOfReply)
    this.#replies = replies.pop() ?? ''
    for (const reply of replies) {
      const [code, complaint] = splitOnce(reply)
      this.#waiting.shift()?.(code === '0' ? undefined : complaint.trim() || `exit code ${code}`)
    }
  }

  #fail(reason: string): void {
    this.#failure ??= reason
    for (const resolve of this.#waiting.splice(0)) resolve(this.#failure)
  }
}

function splitOnce(reply: string): [code: string, complaint: string] {
  const space = reply.indexOf(' ')
  return [reply.slice(0, space), reply.slice(space + 1)]
}
