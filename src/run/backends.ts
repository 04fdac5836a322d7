/** What the user wrote under `backend`, made into destinations. */
import { ERROR_CODES, TraceletError } from '../core/errors.ts'
import { type Environment, keptOptions } from '../core/options.ts'
import { redact } from '../core/redact.ts'
import type { RunInfo } from '../core/types.ts'
import type { DestinationSpec } from '../pipeline/messages.ts'
import type { RunDestination } from '../pipeline/store/run-file.ts'
import { resolveDestinationOptions, type SinkDefinition } from '../sinks/contract.ts'
import { findSink } from '../sinks/index.ts'

/** Options of one backend: its own table, or `module` and what that module's table says. */
export type BackendOptions = Readonly<Record<string, unknown>>
/**
 * A word, several words, or words with options. A word may carry a name of yours after a colon, so that one kind
 * can be there twice: `{ 'mlflow:prod': { uri }, 'mlflow:team': { uri } }`.
 */
export type Backend = string | readonly string[] | Readonly<Record<string, BackendOptions | undefined>>

/** Journal and event files: what a run has when nobody says anything. */
const EMBEDDED_DEFAULT = ['local', 'tensorboard']

/**
 * @param run whose they are: no two of them may write its files in one place
 * @param otherwise where neither the user nor the environment says anything
 * @throws TraceletError ERR_BACKEND_UNKNOWN, ERR_OPTION
 */
export function resolveBackends(
  given: Backend | undefined,
  environment: Environment,
  run: RunInfo,
  otherwise: Backend = EMBEDDED_DEFAULT,
): DestinationSpec[] {
  const entries = entriesOf(given === undefined ? (fromEnvironment(environment) ?? otherwise) : given)
  if (entries.length === 0)
    throw new TraceletError('ERR_OPTION', "backend must name at least one, such as 'local'")
  const specs = entries.map(([name, options], index) => ({
    ...resolveBackend(name, options, environment),
    index,
  }))
  refuseSharedFiles(specs, run)
  return specs
}

/** @throws TraceletError ERR_BACKEND_UNKNOWN, ERR_OPTION */
export function resolveBackend(
  name: string,
  options: BackendOptions,
  environment: Environment,
): DestinationSpec {
  const kind = name.split(':', 1)[0]!
  if (typeof options.module === 'string') {
    const { module, ...own } = options
    return { name, index: 0, kind, module, options: own }
  }
  const resolved = resolveDestinationOptions(findSink(kind), options, environment, `backend ${name}`)
  return { name, index: 0, kind, options: resolved }
}

/** Two destinations that append to one file would overwrite each other. */
export function refuseSharedFiles(specs: readonly DestinationSpec[], run: RunInfo): void {
  const writers = new Map<string, string>()
  for (const spec of specs) {
    const { name } = spec
    const place = filesOf(spec, run)
    if (place === undefined) continue
    const other = writers.get(place)
    if (other !== undefined) {
      throw new TraceletError(
        'ERR_OPTION',
        `backends ${other} and ${name} would write the same files: give each its own place`,
      )
    }
    writers.set(place, name)
  }
}

/**
 * The files of the run that a destination appends to: of two with the same text one must go. Undefined where there are
 * none. Files of one folder are told apart by what the run is called there.
 */
export function filesOf(
  { kind, module, options }: DestinationSpec,
  run: RunInfo,
  definitionOf: (kind: string) => SinkDefinition = findSink,
): string | undefined {
  if (module !== undefined) return undefined
  const sink = definitionOf(kind)
  if (sink.inJournal || sink.capabilities.rewrite !== 'append') return undefined
  return `${kind} ${sink.address(options as never, run)}`
}

/** Whether what is journaled has arrived there. */
export function isInJournal({ kind, module }: DestinationSpec): boolean {
  return module === undefined && findSink(kind).inJournal === true
}

/** How a destination stands in `run.json`: no secrets, and nothing that is of this process only. */
export function toRunDestination(
  { name, kind, module, options, companionOf }: DestinationSpec,
  run: RunInfo,
): Omit<RunDestination, 'addedAt' | 'usedAt'> {
  if (module !== undefined) {
    // The table of a module is not known here: what looks like a secret is left out, `sync` finds it in the environment.
    const plain = Object.entries(options).filter(([key, value]) => redact(key, value) === value)
    return { name, kind, module, options: Object.fromEntries(plain), address: `module ${module}` }
  }
  const sink = findSink(kind)
  return {
    name,
    kind,
    options: keptOptions(sink.options, options),
    address: sink.address(options as never, run),
    ...(companionOf !== undefined && { companionOf }),
  }
}

function fromEnvironment(environment: Environment): string[] | undefined {
  const words = environment.TRACELET_BACKEND?.split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  return words?.length ? words : undefined
}

function entriesOf(backend: Backend): [string, BackendOptions][] {
  if (typeof backend === 'string') return [[backend, {}]]
  if (Array.isArray(backend)) {
    const words = backend as readonly unknown[]
    const bad = words.find((word) => typeof word !== 'string')
    if (bad !== undefined)
      throw new TraceletError('ERR_OPTION', `backend: ${String(bad)} is not the word of a backend`)
    const twice = words.find((word, index) => words.indexOf(word) !== index)
    if (twice !== undefined) {
      throw new TraceletError(
        'ERR_OPTION',
        `backend: '${String(twice)}' stands there twice; name them apart: '${String(twice)}:a'`,
      )
    }
    return (words as string[]).map((word) => [word, {}])
  }
  if (typeof backend !== 'object' || backend === null) {
    throw new TraceletError('ERR_BACKEND_UNKNOWN', `${ERROR_CODES.ERR_BACKEND_UNKNOWN}: ${String(backend)}`)
  }
  return Object.entries(backend as Record<string, unknown>).map(([name, options]) => {
    if (options !== undefined && (typeof options !== 'object' || options === null)) {
      throw new TraceletError('ERR_OPTION', `backend ${name}: options must be an object`)
    }
    return [name, (options ?? {}) as BackendOptions]
  })
}
