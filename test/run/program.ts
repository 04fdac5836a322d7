/** Programs of their own process, written in place of the test: exit codes and stderr belong to a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export type Tracelet = typeof import('../../src/index.ts')

const ENDING = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const INDEX = new URL(`../../src/index${ENDING}`, import.meta.url).href
const TIMEOUT_MS = 60_000

/** What a program gets; `folder` is the root folder of its runs as well as its working directory. */
export interface Given {
  readonly folder: string
  readonly args: readonly string[]
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export interface RunningProgram {
  readonly child: ChildProcess
  /** Resolves with the first line that the program prints on stderr or stdout and that holds `text`. */
  said(text: string): Promise<void>
  readonly ended: Promise<Ended>
}

/** A temporary folder that goes with the test. */
export function temporaryFolder(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-'))
  // a run that has not ended may write into it meanwhile
  test.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

/**
 * Starts `main` as a module of its own: it sees its parameters and what it imports, nothing of the test around it.
 * @param folder made by `temporaryFolder`
 */
export function startProgram(
  folder: string,
  main: (tracelet: Tracelet, given: Given) => unknown,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): RunningProgram {
  const file = join(folder, `program-${readdirSync(folder).length}.mjs`)
  const given: Given = { folder, args }
  writeFileSync(
    file,
    `import * as tracelet from ${JSON.stringify(INDEX)}\nawait (${main.toString()})(tracelet, ${JSON.stringify(given)})\n`,
  )
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
  const since = performance.now()
  const child = spawn(process.execPath, [file], {
    cwd: folder,
    env: { ...inherited, TRACELET_DIR: folder, TRACELET_BACKEND: 'local', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  const waiting: { readonly text: string; readonly resolve: () => void }[] = []
  const look = () => {
    for (const { text, resolve } of waiting) if (stdout.includes(text) || stderr.includes(text)) resolve()
  }
  child.stdout!.on('data', (text: Buffer) => {
    stdout += text.toString()
    look()
  })
  child.stderr!.on('data', (text: Buffer) => {
    stderr += text.toString()
    look()
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout, stderr, ms: performance.now() - since }),
    )
  })
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ text, resolve })
      void ended.then(() => reject(new Error(`the program ended without saying '${text}': ${stderr}`)))
      look()
    })
  return { child, said, ended }
}

export function runProgram(
  folder: string,
  main: (tracelet: Tracelet, given: Given) => unknown,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  return startProgram(folder, main, args, environment).ended
}

/** How often each code was reported. */
export function codesOf(stderr: string): Record<string, number> {
  const codes: Record<string, number> = {}
  for (const [code] of stderr.matchAll(/\bERR_[A-Z_]+\b/g)) codes[code!] = (codes[code!] ?? 0) + 1
  return codes
}
