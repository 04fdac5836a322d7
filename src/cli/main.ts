#!/usr/bin/env node
/**
 * The command line: `tracelet <command> [options]`.
 * Exit codes: 0 done · 1 failed, or something is still undelivered · 2 the command line is wrong · 130 Ctrl-C.
 */
import { parseArgs } from 'node:util'
import { TraceletError } from '../core/errors.ts'
import { nearest } from '../core/options.ts'
import { VERSION } from '../core/version.ts'
import { type Command, CommandError, EXIT, EXIT_WORDS, UsageError } from './command.ts'
import { COMMANDS } from './commands.ts'
import { plain } from './text.ts'

const HELP_OPTION = { type: 'boolean', short: 'h', doc: 'show this help' } as const

/** Whether the output could not take what was written: a full disk, not a reader that went away. */
let hasLostOutput = false

const code = await main(process.argv.slice(2))
process.exitCode = code === EXIT.ok && hasLostOutput ? EXIT.failed : code

async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args)
  } catch (error) {
    return tell(error)
  }
}

async function dispatch([word, ...rest]: readonly string[]): Promise<number> {
  if (word === undefined) {
    process.stderr.write(help())
    return EXIT.usage
  }
  if (word === '--version' || word === '-v') return print(`${VERSION}\n`)
  if (word === 'help' || word === '--help' || word === '-h') {
    return print(rest[0] === undefined ? help() : commandHelp(findCommand(rest[0])))
  }
  const command = findCommand(word)
  const { values, positionals } = parse(command, rest)
  if (values.help === true) return print(commandHelp(command))
  endWithReader(command)
  return command.run(values, positionals)
}

/**
 * `tracelet … | head` ends quietly when head has seen enough. An output that cannot take what is written (a full
 * disk) is told once; a command that has work to do beside its output goes on with it.
 */
function endWithReader({ outlivesReader }: Command): void {
  process.stderr.on('error', () => {})
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') {
      if (!outlivesReader) process.exit(EXIT.ok)
      return
    }
    if (!hasLostOutput) process.stderr.write(`tracelet: the output cannot be written: ${message}\n`)
    hasLostOutput = true
    process.exitCode = EXIT.failed
    if (!outlivesReader) process.exit(EXIT.failed)
  })
}

function parse(command: Command, args: readonly string[]) {
  const options = { ...command.options, help: HELP_OPTION }
  const end = args.indexOf('--')
  const unknown = args
    .slice(0, end < 0 ? args.length : end)
    .find((arg) => arg.startsWith('--') && !Object.hasOwn(options, optionName(arg)))
  if (unknown !== undefined) {
    const near = nearest(optionName(unknown), Object.keys(options))
    throw new UsageError(
      `${command.name}: unknown option '${unknown}'; ${near ? `did you mean '--${near}'?` : seeHelp(command)}`,
    )
  }
  const parsed = parseStrictly(command, args, options)
  const extra = parsed.positionals[command.maxPositionals ?? 0]
  if (extra !== undefined)
    throw new UsageError(`${command.name}: '${extra}' is one word too many; ${seeHelp(command)}`)
  return parsed
}

function parseStrictly(command: Command, args: readonly string[], options: Command['options']) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(`${command.name}: ${(error as Error).message}`)
  }
}

function seeHelp({ name }: Command): string {
  return `see tracelet ${name} --help`
}

function findCommand(word: string): Command {
  const found = COMMANDS.find(({ name }) => name === word)
  if (found) return found
  const near = nearest(
    word,
    COMMANDS.map(({ name }) => name),
  )
  throw new UsageError(
    `unknown command '${word}'; ${near ? `did you mean '${near}'?` : 'tracelet --help lists them'}`,
  )
}

function optionName(arg: string): string {
  return arg.slice(2).split('=', 1)[0]!
}

function help(): string {
  const list = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)}${summary}`)
  return [
    `tracelet ${VERSION}: log once, land everywhere, lose nothing`,
    '',
    'usage: tracelet <command> [options]',
    '',
    ...list,
    '',
    `tracelet <command> --help tells more. Exit codes: ${exitWords(EXIT_WORDS)}.`,
    '',
  ].join('\n')
}

function commandHelp({ usage, summary, details, options, exits }: Command): string {
  const rows = Object.entries({ ...options, help: HELP_OPTION }).map(([name, { doc }]) => [`--${name}`, doc])
  const width = Math.max(...rows.map(([name]) => name!.length))
  const list = rows.map(([name, doc]) => `  ${name!.padEnd(width)}  ${doc}`)
  const codes = `exit codes: ${exitWords({ ...EXIT_WORDS, ...exits })}`
  const about = details ? [summary, '', ...details] : [summary]
  return [`usage: tracelet ${usage}`, '', ...about, '', ...list, '', codes, ''].join('\n')
}

function exitWords(exits: Readonly<Record<number, string>>): string {
  return Object.entries(exits)
    .map(([code, word]) => `${code} ${word}`)
    .join(', ')
}

/** Usage, foreseen errors and those of the file system without a stack; anything else is a defect and keeps its own. */
function tell(error: unknown): number {
  const words =
    error instanceof TraceletError
      ? `${error.code}: ${error.message}`
      : error instanceof UsageError || error instanceof CommandError || isSystemError(error)
        ? error.message
        : undefined
  const said = words === undefined ? (error instanceof Error ? error.stack : String(error)) : plain(words)
  process.stderr.write(`tracelet: ${said}\n`)
  return error instanceof UsageError ? EXIT.usage : EXIT.failed
}

/** The system has refused something: no permission, no room, no such file. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT.ok
}
