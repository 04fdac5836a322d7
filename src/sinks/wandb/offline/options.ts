/** The options of `backend: 'wandb-offline'`: those of `wandb` that say what the run is, and a folder. */
import { resolve } from 'node:path'
import type { OptionsOf, OptionTable } from '../../../core/options.ts'
import type { RunInfo } from '../../../core/types.ts'
import { DEFAULT_BASE_URL } from '../hosts.ts'
import { remoteRunId } from '../keys.ts'
import { givenRunId, type PreparedOptions, prepareOptions, projectOf, WANDB_OPTIONS } from '../options.ts'

const { entity, project, defaultProject, group, jobType, displayName, notes, tags } = WANDB_OPTIONS

export const OFFLINE_OPTIONS = {
  dir: {
    type: 'string',
    env: ['WANDB_DIR'],
    doc: 'folder in which `wandb/offline-run-…` is made (default: the current one)',
  },
  ...{ entity, project, defaultProject },
  runId: {
    type: 'string',
    env: ['WANDB_RUN_ID'],
    doc: "id of the run at W&B, instead of the run's own. Nested runs do not take it.",
  },
  ...{ group, jobType, displayName, notes, tags },
} as const satisfies OptionTable
export type OfflineOptions = OptionsOf<typeof OFFLINE_OPTIONS>

/**
 * Checks everything, makes the folder's path absolute, and fills in what the SDK's settings files say. Given its own
 * result, it changes nothing.
 * @throws TraceletError ERR_OPTION
 */
export function prepareOffline(options: OfflineOptions): OfflineOptions & { readonly dir: string } {
  const { entity, defaultProject, runId, displayName, notes, tags } = forRun(options)
  return {
    ...options,
    ...{ entity, defaultProject, runId, displayName, notes, tags },
    dir: resolve(options.dir || '.'),
  }
}

/** As the sink that sends has them. */
export function forRun({ dir: _, ...options }: OfflineOptions): PreparedOptions {
  return prepareOptions({
    ...options,
    ...{ baseUrl: DEFAULT_BASE_URL, apiKey: undefined, appUrl: undefined, caFile: undefined },
    ...{ resume: 'never', mode: 'offline', intervalMs: 0, insecureTls: false },
  })
}

/** Folder, project, and the run's id at W&B where one is named. */
export function addressOfOffline(given: OfflineOptions, run: RunInfo): string {
  const { dir } = prepareOffline(given)
  const options = forRun(given)
  const entity = options.entity ? ` entity '${options.entity}'` : ''
  const id = givenRunId(options, run)
  return `file:${dir}${entity} project '${projectOf(options, run)}'${id ? ` run '${id}'` : ''}`
}

/** The same as that of the sink that sends. */
export function runIdOf(options: PreparedOptions, run: RunInfo): string {
  return givenRunId(options, run) ?? remoteRunId(run.id)
}
