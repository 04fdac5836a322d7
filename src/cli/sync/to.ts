/** `--to BACKEND --to-option KEY=VALUE`: a new destination for runs that are there already. */
import type { ErrorRecord } from '../../core/errors.ts'
import type { Environment } from '../../core/options.ts'
import type { RunInfo } from '../../core/types.ts'
import { loadDefinition } from '../../pipeline/delivery/resolve-destination.ts'
import { addDestination } from '../../pipeline/store/add-destination.ts'
import type { RunDestination } from '../../pipeline/store/run-file.ts'
import { refuseSharedFiles, resolveBackend, toRunDestination } from '../../run/backends.ts'
import { destinationOptions } from '../../sinks/contract.ts'
import { keysAndValues, typedOptions } from '../option-words.ts'

const FLAG = '--to-option'

export interface NewDestination {
  /** As the user named it: `mlflow`, `mlflow:team`. */
  readonly name: string
  /** @throws TraceletError ERR_RUN_BUSY, ERR_OPTION … */
  add(folder: string, onDamage: (issue: ErrorRecord) => void): void
}

/** @throws UsageError; TraceletError ERR_BACKEND_UNKNOWN, ERR_OPTION */
export async function newDestination(
  name: string,
  optionWords: readonly string[],
  environment: Environment,
): Promise<NewDestination> {
  const { module, ...texts } = keysAndValues(optionWords, FLAG)
  const kind = name.split(':', 1)[0]!
  const table = destinationOptions(await loadDefinition({ kind, ...(module !== undefined && { module }) }))
  const options = { ...typedOptions(texts, table, FLAG), ...(module !== undefined && { module }) }
  const spec = resolveBackend(name, options, environment)
  return {
    name,
    add: (folder, onDamage) => {
      const describe = (run: RunInfo, others: readonly RunDestination[]) => {
        const rivals = others.filter((other) => other.kind === kind && other.name !== name)
        refuseSharedFiles([...rivals.map((other, index) => ({ ...other, index })), spec], run)
        return toRunDestination(spec, run)
      }
      addDestination(folder, describe, onDamage)
    },
  }
}
