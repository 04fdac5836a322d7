/** Destinations that a run gets beside those that were named: what an offline mode writes meanwhile. */
import { DESTINATION_OPTIONS } from '../core/destination-options.ts'
import type { Environment } from '../core/options.ts'
import type { DestinationName, RunInfo } from '../core/types.ts'
import type { DestinationSpec } from '../pipeline/messages.ts'
import { resolveDestinationOptions, type SinkDefinition } from '../sinks/contract.ts'
import { findSink } from '../sinks/index.ts'
import { filesOf } from './backends.ts'

export interface RunCompanion {
  readonly spec: DestinationSpec
  /** A command of others that takes what it has written; its url is put behind. */
  readonly command: string | undefined
}

/** Options of the companions that a run had, by their names. */
export type KeptCompanions = Readonly<Record<DestinationName, Readonly<Record<string, unknown>>>>

/**
 * The companions of a run's destinations, numbered behind those. A kind that the user named himself has none, nor is
 * there one whose files another destination writes already.
 * @param kept what the run had before: it holds where nothing else is said, such as in which folder
 * @throws TraceletError ERR_OPTION
 */
export function companionsOf(
  specs: readonly DestinationSpec[],
  run: RunInfo,
  environment: Environment,
  kept: KeptCompanions = {},
  definitionOf: (kind: string) => SinkDefinition = findSink,
): RunCompanion[] {
  const kinds = new Set(specs.map(({ kind }) => kind))
  const files = new Set(specs.map((spec) => filesOf(spec, run, definitionOf)))
  const companions: RunCompanion[] = []
  for (const main of specs) {
    // what a module has beside it is known when it is loaded, too late for a destination
    if (main.module !== undefined) continue
    const { kind, options } = definitionOf(main.kind).companion?.(main.options as never) ?? {}
    if (kind === undefined || kinds.has(kind)) continue
    const name = kind + main.name.slice(main.kind.length)
    const given = { ...kept[name], ...said(destinationWide(main.options)), ...said(options) }
    const definition = definitionOf(kind)
    const resolved = resolveDestinationOptions(definition, given, environment, `backend ${name}`)
    const index = specs.length + companions.length
    const spec = { name, index, kind, options: resolved, companionOf: main.name }
    const place = filesOf(spec, run, definitionOf)
    if (place !== undefined && files.has(place)) continue
    files.add(place)
    companions.push({ spec, command: definition.exports?.command })
  }
  return companions
}

/** What of a run goes there, and how late: the same for both. */
function destinationWide(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(DESTINATION_OPTIONS).map((name) => [name, options[name]]))
}

function said(options: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}
