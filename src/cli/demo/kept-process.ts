/** A command that goes when this process goes, however it goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Starts the command in a group of its own and ends that group as soon as standard input ends. The other end of
 * that pipe is ours, and the kernel closes it even when we are killed.
 */
const KEEPER = `
import os, signal, subprocess, sys
command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    sys.stdin.read()
except KeyboardInterrupt:
    pass
finally:
    for sign, seconds in (signal.SIGTERM, 5), (signal.SIGKILL, 5):
        try:
            os.killpg(command.pid, sign)
            command.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
`
const STOP_TIMEOUT_MS = 12_000

export interface LaunchOptions {
  /** Interpreter that watches over the command. */
  readonly python: string
  /** Descriptor that takes what the command prints. */
  readonly output: number
  readonly env: NodeJS.ProcessEnv
}

export function launchKept(command: readonly string[], { python, output, env }: LaunchOptions): ChildProcess {
  return spawn(python, ['-c', KEEPER, ...command], { stdio: ['pipe', output, output], env })
}

/** The command stays when this process ends. */
export function launchFree(command: readonly string[], { output, env }: LaunchOptions): ChildProcess {
  const [program, ...args] = command
  const child = spawn(program!, args, { detached: true, stdio: ['ignore', output, output], env })
  child.unref()
  return child
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** Ends what either launched, with all its children. Twice is harmless. */
export async function stopLaunched(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  if (child.stdin) child.stdin.end()
  else process.kill(-child.pid!, 'SIGTERM')
  if ((await Promise.race([ended, sleep(STOP_TIMEOUT_MS, 'late', { ref: false })])) === 'late') child.kill()
}
