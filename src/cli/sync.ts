/** `tracelet sync`: sends what runs at rest still owe their backends. */
import { openRun } from '../index.ts'
import { type SyncedRun, syncRun } from '../pipeline/delivery/sync-run.ts'
import type { FromDelivery } from '../pipeline/messages.ts'
import { say } from '../pipeline/say.ts'
import { listRunFolders } from '../pipeline/store/folder.ts'
import {
  type Command,
  DIR_OPTION,
  EXIT,
  JSON_OPTION,
  PROJECT_OPTION,
  rootFolder,
  UsageError,
  wholeNumber,
  words,
} from './command.ts'
import { DeliveryProgress } from './delivery-progress.ts'
import { asTraceletError } from './overview.ts'
import { destinationTable, isDelivered } from './report.ts'
import { StatusLine } from './status-line.ts'
import { jsonText, plain } from './text.ts'

const DEFAULT_DEADLINE_SECONDS = 3600

export const syncCommand: Command = {
  name: 'sync',
  summary: 'send what runs still owe their backends, after a crash, an outage or on another machine',
  usage: 'sync RUN … | --all  [--destination NAME] [--project P] [--dir DIR] [--deadline SECONDS] [--json]',
  options: {
    all: { type: 'boolean', doc: 'every run under the root folder' },
    destination: { type: 'string', multiple: true, doc: 'only these of the run, such as mlflow' },
    project: PROJECT_OPTION,
    dir: DIR_OPTION,
    deadline: {
      type: 'string',
      doc: `longest time for each run, in seconds (default: ${DEFAULT_DEADLINE_SECONDS})`,
    },
    json: JSON_OPTION,
  },
  outlivesReader: true,
  exits: {
    [EXIT.ok]: 'every run is delivered',
    [EXIT.failed]: 'something is still undelivered, or a run cannot be read',
  },
  maxPositionals: Number.POSITIVE_INFINITY,
  async run(values, runs) {
    const all = values.all === true
    if (all === runs.length > 0) throw new UsageError('sync: name runs (an id or a folder each), or --all')
    const seconds = (values.deadline as string | undefined) ?? String(DEFAULT_DEADLINE_SECONDS)
    const deadlineMs = wholeNumber(seconds, 'deadline', 1, 604_800) * 1000
    const project = values.project as string | undefined
    const destinations = values.destination === undefined ? undefined : words(values.destination as string[])
    const isJson = values.json === true
    const dir = rootFolder(values)
    const folders = all ? listRunFolders(dir) : runs.map((run) => openRun(run, { dir, project }).info.folder)
    const results: (SyncedRun | NotSynced)[] = []
    let isComplete = true
    for (const folder of folders) {
      try {
        const synced = await syncOne(folder, deadlineMs, destinations, isJson)
        if (!isJson) process.stdout.write(`${formatSynced(synced)}\n`)
        results.push(synced)
        isComplete &&= Object.values(synced.destinations).every(isDelivered)
      } catch (error) {
        // one run must not keep the others from being sent
        if (folders.length === 1 && !all) throw error
        const { code, message } = asTraceletError(folder, error)
        say(`${folder}: ${code}: ${message}`)
        results.push({ folder, error: { code, message } })
        // a run that never had a destination of that name owes it nothing
        isComplete &&= all && code === 'ERR_OPTION'
      }
    }
    if (isJson) process.stdout.write(`${jsonText({ complete: isComplete, runs: results })}\n`)
    else if (folders.length === 0) process.stdout.write(`no runs under ${plain(dir)}\n`)
    return isComplete ? EXIT.ok : EXIT.failed
  },
}

interface NotSynced {
  readonly folder: string
  readonly error: { readonly code: string; readonly message: string }
}

async function syncOne(
  folder: string,
  deadlineMs: number,
  destinations: readonly string[] | undefined,
  isJson: boolean,
): Promise<SyncedRun> {
  const status = new StatusLine()
  // the standard output is the document's alone
  const progress = new DeliveryProgress(isJson ? process.stderr : process.stdout)
  if (!isJson) status.show(`delivering ${plain(folder)}`)
  const onMessage = (message: FromDelivery) => {
    if (message.type !== 'issue') return
    progress.clear()
    say(`${message.destination}: ${message.issue.message}`)
  }
  try {
    return await syncRun(folder, {
      ...(destinations && { destinations }),
      deadlineMs,
      environment: process.env,
      onMessage,
      onStart: (read) => {
        status.clear()
        progress.start(read)
      },
    })
  } finally {
    progress.stop()
    status.clear()
  }
}

export function formatSynced({ run, journaled, recordsJournaled, destinations }: SyncedRun): string {
  const pending = Object.entries(destinations).filter(([, destination]) => !isDelivered(destination))
  return [
    `run ${plain(run)}`,
    ' points',
    ...destinationTable(destinations, journaled, (destination) => destination),
    ' records',
    ...destinationTable(destinations, recordsJournaled, (destination) => destination.records),
    ...pending.map(
      ([name, { reason }]) =>
        `${plain(name)} has not got everything${reason === '' ? '' : `: ${plain(reason)}`}`,
    ),
    ...Object.entries(destinations).flatMap(([name, { url }]) =>
      url === '' ? [] : [`${plain(name)}: ${plain(url)}`],
    ),
    '',
  ].join('\n')
}
