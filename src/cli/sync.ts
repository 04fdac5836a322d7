/** `tracelet sync`: sends what runs at rest still owe their backends. */
import { resolve } from 'node:path'
import { TraceletError } from '../core/errors.ts'
import { openRun } from '../index.ts'
import { type SyncedRun, syncRun } from '../pipeline/delivery/sync-run.ts'
import type { FromDelivery } from '../pipeline/messages.ts'
import { listRunFolders } from '../pipeline/store/folder.ts'
import { say } from '../run/issues.ts'
import { RUN_OPTIONS } from '../run/options.ts'
import { type Command, EXIT, UsageError, wholeNumber, words } from './command.ts'
import { destinationTable, isDelivered } from './report.ts'
import { StatusLine } from './status-line.ts'

const DEFAULT_DEADLINE_SECONDS = 3600

export const syncCommand: Command = {
  name: 'sync',
  summary: 'send what runs still owe their backends, after a crash, an outage or on another machine',
  usage: 'sync RUN … | --all  [--destination NAME] [--project P] [--deadline SECONDS]',
  options: {
    all: { type: 'boolean', doc: 'every run under TRACELET_DIR (default: ./.tracelet)' },
    destination: { type: 'string', multiple: true, doc: 'only these of the run, such as mlflow' },
    project: { type: 'string', doc: 'where several projects hold a run of that id' },
    deadline: {
      type: 'string',
      doc: `longest time for each run, in seconds (default: ${DEFAULT_DEADLINE_SECONDS})`,
    },
  },
  maxPositionals: Number.POSITIVE_INFINITY,
  async run(values, runs) {
    const all = values.all === true
    if (all === runs.length > 0) throw new UsageError('sync: name runs (an id or a folder each), or --all')
    const seconds = (values.deadline as string | undefined) ?? String(DEFAULT_DEADLINE_SECONDS)
    const deadlineMs = wholeNumber(seconds, 'deadline', 1, 604_800) * 1000
    const project = values.project as string | undefined
    const destinations = values.destination === undefined ? undefined : words(values.destination as string[])
    const folders = all
      ? listRunFolders(resolve(process.env.TRACELET_DIR || RUN_OPTIONS.dir.default))
      : runs.map((run) => openRun(run, { project }).info.folder)
    let isComplete = true
    for (const folder of folders) {
      try {
        const synced = await syncOne(folder, deadlineMs, destinations)
        process.stdout.write(`${formatSynced(synced)}\n`)
        isComplete &&= Object.values(synced.destinations).every(isDelivered)
      } catch (error) {
        // one run must not keep the others from being sent
        if (!all || !(error instanceof TraceletError)) throw error
        say(`${folder}: ${error.code}: ${error.message}`)
        // a run that never had a destination of that name owes it nothing
        isComplete &&= error.code === 'ERR_OPTION'
      }
    }
    if (folders.length === 0) process.stdout.write('no runs\n')
    return isComplete ? EXIT.ok : EXIT.failed
  },
}

async function syncOne(
  folder: string,
  deadlineMs: number,
  destinations: readonly string[] | undefined,
): Promise<SyncedRun> {
  const status = new StatusLine()
  status.show(`delivering ${folder}`)
  const onMessage = (message: FromDelivery) => {
    if (message.type === 'issue') say(`${message.destination}: ${message.issue.message}`)
  }
  try {
    return await syncRun(folder, {
      ...(destinations && { destinations }),
      deadlineMs,
      environment: process.env,
      onMessage,
    })
  } finally {
    status.clear()
  }
}

export function formatSynced({ run, journaled, recordsJournaled, destinations }: SyncedRun): string {
  const pending = Object.entries(destinations).filter(([, destination]) => !isDelivered(destination))
  return [
    `run ${run}`,
    ' points',
    ...destinationTable(destinations, journaled, (destination) => destination),
    ' records',
    ...destinationTable(destinations, recordsJournaled, (destination) => destination.records),
    ...pending.map(
      ([name, { reason }]) => `${name} has not got everything${reason === '' ? '' : `: ${reason}`}`,
    ),
    ...Object.entries(destinations).flatMap(([name, { url }]) => (url === '' ? [] : [`${name}: ${url}`])),
    '',
  ].join('\n')
}
