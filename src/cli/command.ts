/** What a command is to the command line. */
import { resolve } from 'node:path'
import type { ParseArgsConfig } from 'node:util'
import { RUN_OPTIONS } from '../run/options.ts'

export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What stands after `tracelet` in its help. */
  readonly usage: string
  /** Lines of its help below the summary. */
  readonly details?: readonly string[]
  /** As `node:util` parseArgs takes them, each with its line of help. */
  readonly options: Readonly<Record<string, CommandOption>>
  /** What is named without an option, at most; 0 where absent. */
  readonly maxPositionals?: number
  /** What its exit codes mean, where they say more than `EXIT`. */
  readonly exits?: Readonly<Record<number, string>>
  /** It does its work also when nobody reads its output any more; others end then. */
  readonly outlivesReader?: true
  /** @returns the exit code @throws UsageError; TraceletError */
  run(values: Readonly<Record<string, unknown>>, positionals: readonly string[]): Promise<number>
}
export type CommandOption = NonNullable<ParseArgsConfig['options']>[string] & { readonly doc: string }

/** Exit codes of every command. */
export const EXIT = {
  /** Done, and everything is where it should be. */
  ok: 0,
  /** An error, or something is still undelivered. */
  failed: 1,
  /** The command line itself is wrong; nothing was done. */
  usage: 2,
  /** What a shell says of a command that Ctrl-C ended; nothing special is done for it. */
  interrupted: 130,
} as const

export const EXIT_WORDS: Readonly<Record<number, string>> = {
  [EXIT.ok]: 'done',
  [EXIT.failed]: 'failed or undelivered',
  [EXIT.usage]: 'wrong command line',
  [EXIT.interrupted]: 'ended by Ctrl-C',
}

/** Options that several commands have, so that they mean the same in each. */
export const DIR_OPTION = {
  type: 'string',
  doc: `root folder of the runs (default: TRACELET_DIR, else ${RUN_OPTIONS.dir.default})`,
} as const
export const PROJECT_OPTION = {
  type: 'string',
  doc: 'where several projects hold a run of that id',
} as const
export const JSON_OPTION = {
  type: 'boolean',
  doc: 'one JSON document instead of text (NaN and the infinities as strings)',
} as const

/** The root folder that a command works on. */
export function rootFolder(values: Readonly<Record<string, unknown>>): string {
  return resolve((values.dir as string | undefined) || process.env.TRACELET_DIR || RUN_OPTIONS.dir.default)
}

/** The command line is wrong: told without a stack, with exit code 2. */
export class UsageError extends Error {}

/** What a command needs is not there; told without a stack, with exit code 1. */
export class CommandError extends Error {}

/** The one word that a command is about. @throws UsageError */
export function onlyWord(command: string, words: readonly string[], what: string): string {
  const [word] = words
  if (word === undefined || word === '') throw new UsageError(`${command}: name ${what}`)
  return word
}

/** A whole number within bounds. @throws UsageError */
export function wholeNumber(text: string, option: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${option} must be a whole number from ${min} to ${max}, but is '${text}'`)
  }
  return value
}

const UNITS_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 } as const

/** `90s`, `15m`, `12h`, `30d`, `4w` in ms; a number alone means days. @throws UsageError */
export function timeSpan(text: string, option: string): number {
  const [, digits, unit = 'd'] = /^(\d{1,6}(?:\.\d+)?)\s*([smhdw]?)$/.exec(text) ?? []
  if (digits === undefined) {
    throw new UsageError(`--${option} must be a time such as 12h, 30d or 4w, but is '${text}'`)
  }
  return Number(digits) * UNITS_MS[(unit || 'd') as keyof typeof UNITS_MS]
}

/** `a,b` and repeated options alike. */
export function words(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '')
}
