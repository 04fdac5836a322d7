/** Which destinations of a run get something from this process, as their own options say. */
import type { DestinationSpec } from '../pipeline/messages.ts'
import { say } from '../pipeline/say.ts'
import { type SinkDefinition, tuned } from '../sinks/contract.ts'
import { findSink } from '../sinks/index.ts'

export interface Modes {
  /** All that the run has, numbered as its counters have them. */
  readonly destinations: readonly DestinationSpec[]
  /** Those of them that nothing is sent to before `tracelet sync`. */
  readonly offline: readonly DestinationSpec[]
  readonly disabled: readonly DestinationSpec[]
}

/** Of a module, its delivery thread finds out: it is not known before it is loaded. */
export function byMode(
  specs: readonly DestinationSpec[],
  definitionOf: (kind: string) => Pick<SinkDefinition, 'mode'> = findSink,
): Modes {
  const modeOf = ({ kind, module, options }: DestinationSpec) =>
    module === undefined ? (definitionOf(kind).mode?.(options as never) ?? 'online') : 'online'
  const disabled = specs.filter((spec) => modeOf(spec) === 'disabled')
  const destinations = specs
    .filter((spec) => !disabled.includes(spec))
    .map((spec, index): DestinationSpec => ({ ...spec, index }))
  return { destinations, offline: destinations.filter((spec) => modeOf(spec) === 'offline'), disabled }
}

/** How soon what is logged must be at the destination that is most in need of it; undefined where none is. */
export function freshMsOf(
  specs: readonly DestinationSpec[],
  definitionOf: (kind: string) => SinkDefinition = findSink,
): number | undefined {
  const fresh = specs.flatMap(({ kind, module, options }) =>
    module === undefined ? (tuned(definitionOf(kind), options).limits.freshMs ?? []) : [],
  )
  return fresh.length === 0 ? undefined : Math.min(...fresh)
}

let isTold = false

/** All that a run was to be sent to is disabled: whoever has forgotten that hears of it, once in a process. */
export function tellJournalOnly(disabled: readonly DestinationSpec[], folder: string): void {
  if (isTold) return
  isTold = true
  const names = disabled.map(({ name }) => name).join(', ')
  say(`${names} ${disabled.length === 1 ? 'is' : 'are'} disabled: the run is journaled only, in ${folder}`)
}
