/** From what is written down of a destination to what is needed to deliver there. Asks no backend. */
import type { Environment } from '../../core/options.ts'
import type { RunInfo } from '../../core/types.ts'
import { resolveDestinationOptions, type SinkDefinition } from '../../sinks/contract.ts'
import { findSink } from '../../sinks/index.ts'
import type { DestinationSpec } from '../messages.ts'
import { loadSinkModule } from './load-sink.ts'

/** @throws TraceletError ERR_BACKEND_UNKNOWN */
export async function loadDefinition({
  kind,
  module,
}: Pick<DestinationSpec, 'kind' | 'module'>): Promise<SinkDefinition> {
  return module === undefined ? findSink(kind) : await loadSinkModule(module, kind)
}

export interface ResolvedDestination {
  readonly options: Readonly<Record<string, unknown>>
  readonly address: string
}

/**
 * Options that were resolved stay as they are; those for a module could not be before it was loaded.
 * @throws TraceletError ERR_OPTION
 */
export function resolveDestination(
  { name, options: given }: Pick<DestinationSpec, 'name' | 'options'>,
  definition: SinkDefinition,
  run: RunInfo,
  environment: Environment,
): ResolvedDestination {
  const options = resolveDestinationOptions(definition, given, environment, `backend ${name}`)
  return { options, address: definition.address(options as never, run) }
}
