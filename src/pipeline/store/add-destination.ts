/** One more destination for a run at rest: what it has logged goes there with the next `sync`, from the beginning. */
import { isDeepStrictEqual } from 'node:util'
import type { ErrorRecord } from '../../core/errors.ts'
import type { RunInfo } from '../../core/types.ts'
import { takeGuard } from './guard.ts'
import {
  latestDestinations,
  type RunDestination,
  type RunFile,
  readRunFile,
  runInfo,
  withDestinations,
  writeRunFile,
} from './run-file.ts'

type NewDestination = Omit<RunDestination, 'addedAt' | 'usedAt'>

/**
 * Again, with the same destination, it writes nothing.
 * @param describe the destination as it is for this run, beside those that it has
 * @param onDamage as of `readRunFile`
 * @throws TraceletError ERR_RUN_BUSY while a live process writes the run; ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT,
 * ERR_JOURNAL_WRITE
 */
export function addDestination(
  folder: string,
  describe: (run: RunInfo, others: readonly RunDestination[]) => NewDestination,
  onDamage?: (issue: ErrorRecord) => void,
): void {
  if (isThere(readRunFile(folder, onDamage), folder, describe)) return
  const guard = takeGuard(folder, 'writer')
  try {
    const file = readRunFile(folder)
    const added = withDestinations(file, [described(file, folder, describe)], Date.now())
    // nobody has opened the run
    writeRunFile(folder, { ...added, openedAt: file.openedAt })
  } finally {
    guard.release()
  }
}

function described(
  file: RunFile,
  folder: string,
  describe: (run: RunInfo, others: readonly RunDestination[]) => NewDestination,
): NewDestination {
  return describe(runInfo(folder, file), [...latestDestinations(file).values()])
}

function isThere(
  file: RunFile,
  folder: string,
  describe: (run: RunInfo, others: readonly RunDestination[]) => NewDestination,
): boolean {
  const wanted = described(file, folder, describe)
  const known = latestDestinations(file).get(wanted.name)
  if (known === undefined) return false
  const { addedAt: _, usedAt: __, ...there } = known
  return isDeepStrictEqual(there, JSON.parse(JSON.stringify(wanted)))
}
