/** What a command is to the command line. */
import type { ParseArgsConfig } from 'node:util'

export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What stands after `tracelet` in its help. */
  readonly usage: string
  /** As `node:util` parseArgs takes them, each with its line of help. */
  readonly options: Readonly<Record<string, CommandOption>>
  /** What is named without an option, at most; 0 where absent. */
  readonly maxPositionals?: number
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
} as const

/** The command line is wrong: told without a stack, with exit code 2. */
export class UsageError extends Error {}

/** A whole number within bounds. @throws UsageError */
export function wholeNumber(text: string, option: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${option} must be a whole number from ${min} to ${max}, but is '${text}'`)
  }
  return value
}

/** `a,b` and repeated options alike. */
export function words(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '')
}
