/** Starts a program and kills it, with everything it has started, at a given instant. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../../src/pipeline/worker-url.ts'

/** A program that neither ends nor is killed by then is a failure. */
const LIMIT_MS = 60_000

const ABOVE_OTHERS = process.platform === 'linux' ? ['nice', '-n', '-15'] : []

export interface Kill {
  /** The line after which the time runs; '' for the start of the process. */
  readonly after: '' | 'logging' | 'finishing' | 'syncing'
  readonly ms: number
}

export interface Death {
  readonly isKilled: boolean
  readonly stderr: string
}

/**
 * @param program name of a module of this folder
 * @throws Error when it ends by itself with another exit code than 0
 */
export async function runAndKill(program: string, argument: string, kill: Kill): Promise<Death> {
  const path = fileURLToPath(workerUrl(`./${program}`, import.meta.url))
  // Above what else the machine does, where that is allowed; `nice` goes on without it where it is not.
  const command = [...ABOVE_OTHERS, process.execPath, path, argument]
  // a process group of its own: what it has started dies with it
  const child = spawn(command[0]!, command.slice(1), { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  let stdout = ''
  let timer: NodeJS.Timeout | undefined
  const arm = () => {
    timer ??= setTimeout(() => killGroup(child), kill.ms)
  }
  const limit = setTimeout(() => killGroup(child), LIMIT_MS)
  if (kill.after === '') arm()
  child.stderr.on('data', (text) => (stderr += text))
  child.stdout.on('data', (text) => {
    stdout += text
    if (kill.after !== '' && stdout.includes(kill.after)) arm()
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  clearTimeout(limit)
  const isKilled = signal === 'SIGKILL'
  if (isKilled ? timer === undefined : code !== 0) {
    throw new Error(`${program} ended with ${code ?? signal}, having said:\n${stdout}${stderr}`)
  }
  return { isKilled, stderr }
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // it has just ended by itself
  }
}
