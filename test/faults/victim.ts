/** Starts a program and kills it, with everything it has started, at a given instant. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EXIT } from '../../src/cli/command.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { cliCommand, cliEnvironment } from '../cli/run-cli.ts'

/** A program that neither ends nor is killed by then is a failure. */
const LIMIT_MS = 120_000

const ABOVE_OTHERS = process.platform === 'linux' ? ['nice', '-n', '-15'] : []

export interface Kill {
  /** The line after which the time runs; '' for the start of the process. */
  readonly after: '' | 'logging' | 'finishing' | 'syncing'
  readonly ms: number
  /** The time runs from when this settles, whatever the process has said. */
  readonly when?: Promise<unknown>
  /** Stretches in which it is stopped (SIGSTOP), from the same moment on. */
  readonly pauses?: readonly Pause[]
}
export interface Pause {
  readonly atMs: number
  readonly ms: number
}

export interface Death {
  readonly isKilled: boolean
  /** How often it was stopped. */
  readonly pauses: number
  readonly stderr: string
}

/**
 * @param program name of a module of this folder
 * @param onLogging called when it says that it has begun to log
 * @throws Error when it ends by itself with another exit code than 0
 */
export function runAndKill(
  program: string,
  argument: string,
  kill: Kill,
  onLogging: () => void = () => {},
): Promise<Death> {
  const path = fileURLToPath(workerUrl(`./${program}`, import.meta.url))
  return run(program, [process.execPath, path, argument], process.env, kill, [0], onLogging)
}

/** `tracelet sync` of one run's folder; it may end by itself with something left. */
export function syncAndKill(folder: string, kill: Kill): Promise<Death> {
  const command = cliCommand('sync', folder)
  return run('sync', command, cliEnvironment(dirname(folder)), kill, [EXIT.ok, EXIT.failed])
}

async function run(
  what: string,
  program: readonly string[],
  env: NodeJS.ProcessEnv,
  kill: Kill,
  codes: readonly (number | null)[],
  onLogging: () => void = () => {},
): Promise<Death> {
  // Above what else the machine does, where that is allowed; `nice` goes on without it where it is not.
  const command = [...ABOVE_OTHERS, ...program]
  // a process group of its own: what it has started dies with it
  const child = spawn(command[0]!, command.slice(1), {
    detached: true,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  let stdout = ''
  let timer: NodeJS.Timeout | undefined
  let pauses = 0
  const others: NodeJS.Timeout[] = []
  const arm = () => {
    if (timer !== undefined) return
    // the child keeps us alive while there is something to kill
    timer = setTimeout(() => signal(child, 'SIGKILL'), kill.ms).unref()
    for (const pause of kill.pauses ?? []) {
      const stop = () => {
        if (signal(child, 'SIGSTOP')) pauses++
      }
      others.push(setTimeout(stop, pause.atMs))
      others.push(setTimeout(() => signal(child, 'SIGCONT'), pause.atMs + pause.ms))
    }
  }
  const limit = setTimeout(() => signal(child, 'SIGKILL'), LIMIT_MS).unref()
  if (kill.when !== undefined) kill.when.then(arm, arm)
  else if (kill.after === '') arm()
  child.stderr.on('data', (text) => (stderr += text))
  child.stdout.on('data', (text) => {
    const wasLogging = stdout.includes('logging')
    stdout += text
    if (!wasLogging && stdout.includes('logging')) onLogging()
    if (kill.when === undefined && kill.after !== '' && stdout.includes(kill.after)) arm()
  })
  const [code, by] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  for (const one of [timer, limit, ...others]) clearTimeout(one)
  const isKilled = by === 'SIGKILL'
  if (isKilled ? timer === undefined : !codes.includes(code)) {
    throw new Error(`${what} ended with ${code ?? by}, having said:\n${stdout}${stderr}`)
  }
  return { isKilled, pauses, stderr }
}

/** To all that it has started too; false when it has just ended by itself. */
function signal(child: ChildProcess, name: NodeJS.Signals): boolean {
  try {
    return process.kill(-child.pid!, name)
  } catch {
    return false
  }
}
