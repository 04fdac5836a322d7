import { execFile, spawn } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL(`../../src/cli/main${extname(import.meta.url)}`, import.meta.url))
const TIMEOUT_MS = 120_000

export interface CliResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export function cliCommand(...args: readonly string[]): string[] {
  return [process.execPath, MAIN, ...args]
}

/** What a user's shell has, with `root` as the folder of runs and nothing of tracelet's or a backend's besides. */
export function cliEnvironment(root: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:TRACELET_|MLFLOW_|NODE_TEST_CONTEXT$|NO_COLOR$|FORCE_COLOR$)/.test(name),
  )
  return { ...Object.fromEntries(kept), TRACELET_DIR: root }
}

/** Runs the command line as a user does, with `root` as its folder. */
export function tracelet(root: string, ...args: readonly string[]): Promise<CliResult> {
  return traceletWith(root, {}, ...args)
}

export function traceletWith(
  root: string,
  environment: NodeJS.ProcessEnv,
  ...args: readonly string[]
): Promise<CliResult> {
  return new Promise((resolve) => {
    const env = { ...cliEnvironment(root), ...environment }
    const [node, ...rest] = cliCommand(...args)
    const options = { env, timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 }
    execFile(node!, rest, options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr }),
    )
  })
}

/** Its output ends in a reader that wants only the first bytes, as `| head` does. */
export function traceletIntoClosedPipe(
  root: string,
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const [node, ...rest] = cliCommand(...args)
    const child = spawn(node!, rest, {
      env: cliEnvironment(root),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    let stderr = ''
    child.stderr.on('data', (text: Buffer) => (stderr += text))
    child.stdout.once('data', () => child.stdout.destroy())
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stderr }))
  })
}
