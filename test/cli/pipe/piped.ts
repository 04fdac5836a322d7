/** `tracelet pipe` with what is fed to it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openRun, type StoredRun } from '../../../src/index.ts'
import { cliCommand, cliEnvironment } from '../run-cli.ts'

const TIMEOUT_MS = 120_000

export interface Piped {
  readonly child: ChildProcess
  /** Resolves when the input has taken it: a full pipe makes the writer wait. */
  write(text: string | Uint8Array): Promise<void>
  /** Resolves with the first output on stderr that holds `text`. */
  said(text: string): Promise<void>
  readonly ended: Promise<PipeResult>
}
export interface PipeResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export function startPipe(
  root: string,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Piped {
  const [node, ...rest] = cliCommand('pipe', ...args)
  const child = spawn(node!, rest, {
    cwd: root,
    env: { ...cliEnvironment(root), TRACELET_BACKEND: 'local', ...environment },
    stdio: 'pipe',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  const waiting: { readonly text: string; readonly resolve: () => void }[] = []
  const look = () => {
    for (const { text, resolve } of waiting) if (stderr.includes(text)) resolve()
  }
  child.stdout.on('data', (text: Buffer) => (stdout += text))
  child.stderr.on('data', (text: Buffer) => {
    stderr += text
    look()
  })
  // what is written to a command that has ended is its own business
  child.stdin.on('error', () => {})
  const ended = new Promise<PipeResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  return {
    child,
    write: (text) => new Promise((resolve) => child.stdin.write(text, () => resolve())),
    said: (text) =>
      new Promise((resolve, reject) => {
        waiting.push({ text, resolve })
        void ended.then(() => reject(new Error(`ended without saying '${text}': ${stderr}`)))
        look()
      }),
    ended,
  }
}

/** Feeds lines (objects become JSON) and waits for the end. */
export async function pipeLines(
  root: string,
  lines: readonly (object | string)[],
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<PipeResult> {
  const piped = startPipe(root, args, environment)
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
  await piped.write(texts.map((text) => `${text}\n`).join(''))
  piped.child.stdin!.end()
  return piped.ended
}

/** The only run below the root. */
export function theRun(root: string): StoredRun {
  const runs = readdirSync(join(root, 'default'))
  if (runs.length !== 1) throw new Error(`${runs.length} runs below ${root}`)
  return openRun(runs[0]!, { dir: root })
}
