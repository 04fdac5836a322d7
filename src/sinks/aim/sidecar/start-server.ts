/** Starts a repository's server and hears whether it came up. */
import { spawn } from 'node:child_process'
import { SERVER_SCRIPT } from './server-script.ts'

export type Started =
  /** `letGo` when a lease is held. */
  | { readonly letGo: () => void }
  /** Another holds the lock: it runs, starts or ends. */
  | { readonly busy: true }
  | { readonly failed: string }

const MAX_SAID_CHARS = 20_000
const MAX_REASON_CHARS = 300

export async function startServer(
  python: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Started> {
  // a group of its own: an interrupt from the terminal must not end it before the run's last values are there
  const child = spawn(python, ['-c', SERVER_SCRIPT, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const letGo = () => {
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy()
    child.unref()
  }
  const started = await new Promise<Started>((resolve) => {
    let said = ''
    let problems = ''
    const heard = (text: Buffer) => {
      said = (said + text).slice(-MAX_SAID_CHARS)
      const answer = answerIn(said)
      if (answer === undefined) return
      resolve(
        'ready' in answer ? { letGo } : 'busy' in answer ? { busy: true } : { failed: line(answer.failed) },
      )
    }
    child.stdout.on('data', heard)
    child.stderr.on('data', (text: Buffer) => {
      problems = (problems + text).slice(-MAX_SAID_CHARS)
    })
    child.stdin.on('error', () => {})
    child.on('error', (error) => resolve({ failed: line(error.message) }))
    child.on('close', (code, killedBy) => {
      resolve({ failed: line(problems.trim().split('\n').at(-1) || `it ended with ${code ?? killedBy}`) })
    })
    // its stdin ends with ours, and so does it
    signal.addEventListener('abort', () => resolve({ failed: 'the time for it is over' }), { once: true })
    if (signal.aborted) resolve({ failed: 'the time for it is over' })
  })
  if (!('letGo' in started)) letGo()
  return started
}

type Answer = { readonly ready: unknown } | { readonly busy: true } | { readonly failed: string }

/** Aim and its libraries may print on the same pipe. */
function answerIn(said: string): Answer | undefined {
  for (const text of said.split('\n').slice(0, -1)) {
    if (!/^\{"(ready|busy|failed)":/.test(text)) continue
    try {
      return JSON.parse(text) as Answer
    } catch {
      // of something else
    }
  }
  return undefined
}

function line(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, MAX_REASON_CHARS)
}
