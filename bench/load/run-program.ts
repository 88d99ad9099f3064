import { spawn } from 'node:child_process'

export interface ProgramOutput {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end; rejects only where it could not be started or was killed by the deadline. */
export function runProgram(
  command: string,
  parameters: readonly string[],
  options: { deadlineMs?: number; cwd?: string; environment?: Readonly<Record<string, string>> } = {},
): Promise<ProgramOutput> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.environment === undefined ? {} : { env: { ...process.env, ...options.environment } }),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    const { deadlineMs } = options
    const timer =
      deadlineMs === undefined
        ? undefined
        : setTimeout(() => {
            reject(new Error(`${command} did not end within ${deadlineMs / 1000} seconds`))
            child.kill('SIGKILL')
          }, deadlineMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (exitCode, signal) => {
      clearTimeout(timer)
      if (signal === null) resolve({ exitCode: exitCode ?? 1, stdout, stderr })
      else reject(new Error(`${command} was ended by ${signal}`))
    })
  })
}

/**
 * The version that a program prints, "15.8" of "pgbench (PostgreSQL) 15.8 (Debian ...)"; null if the program is
 * missing or does not call itself `name`.
 */
export async function programVersion(
  command: string,
  name: string,
  option = '--version',
): Promise<string | null> {
  const output = await runProgram(command, [option]).catch(() => null)
  if (output === null || output.exitCode !== 0) return null
  if (!output.stdout.toLowerCase().startsWith(name)) return null
  return /\d+(\.\d+)*\w*/.exec(output.stdout)?.[0] ?? null
}
