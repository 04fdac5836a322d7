/** `--to BACKEND --to-option KEY=VALUE`: a new destination for runs that are there already. */
import type { ErrorRecord } from '../../core/errors.ts'
import type { Environment, OptionRow } from '../../core/options.ts'
import { redactText } from '../../core/redact.ts'
import type { RunInfo } from '../../core/types.ts'
import { loadDefinition } from '../../pipeline/delivery/resolve-destination.ts'
import { addDestination } from '../../pipeline/store/add-destination.ts'
import type { RunDestination } from '../../pipeline/store/run-file.ts'
import { refuseSharedFiles, resolveBackends, toRunDestination } from '../../run/backends.ts'
import { destinationOptions } from '../../sinks/contract.ts'
import { UsageError, words } from '../command.ts'
import { plain } from '../text.ts'

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
  const { module, ...texts } = Object.fromEntries(optionWords.map(keyAndValue)) as Record<string, string>
  const kind = name.split(':', 1)[0]!
  const table = destinationOptions(await loadDefinition({ kind, ...(module !== undefined && { module }) }))
  const given = Object.entries(texts).map(([key, text]) => [key, typed(table[key], key, text)])
  const options = { ...Object.fromEntries(given), ...(module !== undefined && { module }) }
  const [spec] = resolveBackends({ [name]: options }, environment)
  return {
    name,
    add: (folder, onDamage) => {
      const describe = (run: RunInfo, others: readonly RunDestination[]) => {
        const rivals = others.filter((other) => other.kind === kind && other.name !== name)
        refuseSharedFiles([...rivals.map((other, index) => ({ ...other, index })), spec!])
        return toRunDestination(spec!, run)
      }
      addDestination(folder, describe, onDamage)
    },
  }
}

function keyAndValue(word: string): [string, string] {
  const at = word.indexOf('=')
  if (at < 1) throw new UsageError(`--to-option takes KEY=VALUE, but is '${plain(word)}'`)
  return [word.slice(0, at), word.slice(at + 1)]
}

/** As the table wants it; what cannot be converted is refused there, in its words. */
function typed(row: OptionRow | undefined, key: string, text: string): unknown {
  if (row?.secret || redactText(text) !== text) {
    const variables = row?.env?.length ? `: set ${row.env.join(' or ')} instead` : ''
    throw new UsageError(`--to-option ${key}: a command line is no place for a secret${variables}`)
  }
  if (row?.type === 'number') return text.trim() === '' ? text : Number(text)
  if (row?.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (row?.type === 'strings') return words([text])
  return text
}
