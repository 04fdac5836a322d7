/** The command line in a real pseudo-terminal, which Python's `pty` makes. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { barePython } from '../peers/python.ts'
import { REPOSITORY } from '../repository.ts'
import { cliCommand, cliEnvironment } from './run-cli.ts'

const run = promisify(execFile)

/** What every command to a terminal begins with. */
export const ESC = '\x1b'
export const CTRL_C = '\x03'

export interface TerminalOptions {
  readonly columns?: number
  readonly rows?: number
  /** What is typed, each after the text before it has been shown. */
  readonly steps?: readonly (readonly [after: string, typed: string])[]
  readonly environment?: NodeJS.ProcessEnv
}

export interface Shown {
  /** Every byte that the command wrote, as text. */
  readonly screen: string
  /** What stays to be read at the end: lines as the terminal shows them, without colours. */
  readonly lines: readonly string[]
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Undefined where there is no Python: the test is skipped then, and fails where `CI=true`. */
export async function inTerminal(
  test: TestContext,
  root: string,
  args: readonly string[],
  { columns = 100, rows = 40, steps = [], environment = {} }: TerminalOptions = {},
): Promise<Shown | undefined> {
  const python = await barePython(test)
  if (python === undefined) return undefined
  const { stdout } = await run(
    python,
    [
      join(REPOSITORY, 'test', 'cli', 'terminal.py'),
      ...[String(columns), String(rows), JSON.stringify(steps)],
      ...cliCommand(...args),
    ],
    {
      env: { ...cliEnvironment(root), TERM: 'xterm-256color', ...environment },
      maxBuffer: 64 * 1024 * 1024,
    },
  )
  const told = JSON.parse(stdout)
  const screen = Buffer.from(told.screen, 'base64').toString()
  if (told.steps_left > 0) throw new Error(`the command never showed what was waited for: ${screen}`)
  return { screen, lines: linesOf(screen), code: told.code, signal: told.signal }
}

const COLOURS = new RegExp(`${ESC}\\[[\\d;]*m`, 'g')

/** Carries out what the command line uses: carriage return, erasing to the end of the line, colours. */
function linesOf(screen: string): string[] {
  return screen
    .replaceAll(COLOURS, '')
    .split('\r\n')
    .map((line) => line.split('\r').at(-1)!.replace(`${ESC}[K`, ''))
}
