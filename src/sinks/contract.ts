/**
 * How a backend is declared: one folder, one `defineSink`, one line in `index.ts`.
 * The pipeline asks nothing else of a backend and knows none by name.
 */
import { DESTINATION_OPTIONS } from '../core/destination-options.ts'
import { TraceletError } from '../core/errors.ts'
import { type Environment, type OptionsOf, type OptionTable, resolveOptions } from '../core/options.ts'
import type { RunInfo, Sink, SinkCapabilities, SinkContext, SinkLimits } from '../core/types.ts'

export interface SinkDefinition<Table extends OptionTable = OptionTable> {
  /** The word users write: `mlflow`. */
  readonly kind: string
  readonly title: string
  readonly options: Table
  readonly limits: SinkLimits
  readonly capabilities: SinkCapabilities
  /** The journal itself is this destination's store: nothing is read or written for it, what is journaled is delivered. */
  readonly inJournal?: true
  /**
   * Checks and completes resolved options as soon as they are known, before anything is written down: secrets are
   * moved to where the table marks them. Given its own result, it changes nothing.
   * @throws TraceletError ERR_OPTION
   */
  prepare?(options: OptionsOf<Table>): OptionsOf<Table>
  /**
   * Where exactly a run goes: origin and project or experiment, without secrets. Another text is another
   * destination, whose cursor starts at 0.
   */
  address(options: OptionsOf<Table>, run: RunInfo): string
  /** Runs with the same text share connections, rate limits and back-off: origin and user, without secrets. */
  account(options: OptionsOf<Table>): string
  /** Limits that hang on options, in place of those of `limits`. */
  tune?(options: OptionsOf<Table>): Partial<SinkLimits>
  /**
   * 'offline': the run is journaled for it, and nothing is sent by the process that logs; `tracelet sync` sends it.
   * 'disabled': the run has no such destination; of a module, which is loaded too late for that, it is as 'offline'.
   * Default 'online'. An option that it hangs on has `isOfProcess`, and `tracelet sync` does not ask. What a program
   * gives to a module stands with the run nevertheless, as its table is not known there: a run that is resumed without
   * `backend` has the same mode again.
   */
  mode?(options: OptionsOf<Table>): 'online' | 'offline' | 'disabled'
  /**
   * A destination of another kind that a run gets beside this one, unless it names one of that kind itself: what an
   * offline mode writes meanwhile. It is called as this one, with its own kind in place of ours, and what of a run
   * goes there is as here.
   */
  companion?(options: OptionsOf<Table>): Companion | undefined
  /** Of a file sink: what `tracelet export` makes of a run with it. */
  readonly exports?: Exports<Table>
  /**
   * True when what is written lies in the run's own folder, so that removing the folder removes it. Absent: never.
   */
  inRunFolder?(options: OptionsOf<Table>): boolean
  /**
   * What `tracelet doctor` asks: is the place there, does it take our credentials, what version is it? Changes
   * nothing there, never throws, ends soon after `signal` aborts, and puts no secret into a finding.
   */
  probe?(options: OptionsOf<Table>, signal: AbortSignal): Promise<readonly Finding[]>
  /** Must not do I/O: that is for `open()`. */
  create(context: SinkContext<OptionsOf<Table>>): Sink
}

export interface Companion {
  readonly kind: string
  readonly options: Readonly<Record<string, unknown>>
}

export interface Exports<Table extends OptionTable = OptionTable> {
  /** The word for it on the command line. */
  readonly format: string
  /** The option that says in which folder it writes. */
  readonly folderOption: keyof Table & string
  /** The folder in there that is the run's alone: one that is there already is not written to. */
  folderOf(options: OptionsOf<Table>, run: RunInfo): string
  /** A command of others that takes what was written; the folder is put behind. */
  readonly command: string
}

/** One thing that was looked at. */
export interface Finding {
  /** 'fail': it cannot work like this. 'warn': it may not, or not for long. */
  readonly level: 'ok' | 'warn' | 'fail'
  /** In a word or two: `server`, `credentials`. */
  readonly what: string
  readonly seen: string
  /** What to do about it; with every 'warn' and 'fail'. */
  readonly fix?: string
}

/** The definition for a destination with these options, which its limits may hang on. */
export function tuned(
  definition: SinkDefinition,
  options: Readonly<Record<string, unknown>>,
): SinkDefinition {
  if (definition.tune === undefined) return definition
  return { ...definition, limits: { ...definition.limits, ...definition.tune(options as never) } }
}

/** @throws TraceletError ERR_OPTION when an option has the name of one that every destination has */
export function defineSink<const Table extends OptionTable>(
  definition: SinkDefinition<Table>,
): SinkDefinition<Table> {
  const { kind, options } = definition
  const taken = Object.keys(options).find((name) => Object.hasOwn(DESTINATION_OPTIONS, name))
  if (taken !== undefined) {
    throw new TraceletError(
      'ERR_OPTION',
      `the sink ${kind} cannot have an option '${taken}': every destination has it`,
    )
  }
  return Object.freeze(definition)
}

/** What may be given for a destination of this kind: the sink's own options and those of every destination. */
export function destinationOptions(definition: SinkDefinition): OptionTable {
  // the journal holds everything and is never late
  return definition.inJournal ? definition.options : { ...definition.options, ...DESTINATION_OPTIONS }
}

/**
 * The options of a destination, checked and completed. Given its own result, it changes nothing.
 * @throws TraceletError ERR_OPTION
 */
export function resolveDestinationOptions(
  definition: SinkDefinition,
  given: Readonly<Record<string, unknown>>,
  environment: Environment,
  where: string,
): Readonly<Record<string, unknown>> {
  const resolved = resolveOptions(destinationOptions(definition), given, environment, where)
  // a sink knows its own only
  return { ...resolved, ...definition.prepare?.(resolved) }
}

export type { GivenOptions, OptionsOf, OptionTable } from '../core/options.ts'
export type * from '../core/types.ts'
