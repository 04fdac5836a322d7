/** The sync of one run: what goes wrong with it is thrown. */
import { isSynced, type SyncedRun } from '../../../src/pipeline/delivery/sync-outcome.ts'
import {
  type ReadDestinations,
  RunSyncer,
  type SyncRunsOptions,
} from '../../../src/pipeline/delivery/sync-runs.ts'

export type { SyncedDestination, SyncedRun } from '../../../src/pipeline/delivery/sync-outcome.ts'

export interface SyncOptions extends Omit<SyncRunsOptions, 'onStart' | 'onEnd' | 'parallel'> {
  /** Given, before anything is sent, what reads the sums while they change. */
  readonly onStart?: (read: ReadDestinations) => void
}

/**
 * @param folder the run's folder
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT; ERR_OPTION for a destination that the run has not;
 *   ERR_RUN_BUSY while a live process writes the run. What goes wrong at a destination, another process that
 *   delivers to it included, stands in its `reason`.
 */
export async function syncRun(folder: string, options: SyncOptions): Promise<SyncedRun> {
  const { onStart, ...others } = options
  return await new Promise<SyncedRun>((resolve, reject) => {
    const syncer = new RunSyncer({
      ...others,
      ...(onStart && { onStart: (_, read) => onStart(read) }),
      onEnd: (outcome) => (isSynced(outcome) ? resolve(outcome) : reject(outcome.cause)),
    })
    syncer.add(folder)
  })
}
