/** `tracelet sync`: sends what runs at rest still owe their backends. */
import { isSynced, type NotSynced, type SyncOutcome } from '../../pipeline/delivery/sync-outcome.ts'
import { DEFAULT_PARALLEL, type SyncRunsOptions, syncRuns } from '../../pipeline/delivery/sync-runs.ts'
import { say } from '../../pipeline/say.ts'
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
} from '../command.ts'
import { DeliveryProgress } from '../delivery-progress.ts'
import { Ending } from '../ending.ts'
import { asTraceletError } from '../overview.ts'
import { StatusLine } from '../status-line.ts'
import { jsonText, plain } from '../text.ts'
import { allRuns, namedRuns, type Places, type Unfound } from './folders.ts'
import {
  closingLine,
  formatNotSynced,
  formatRun,
  formatRunLine,
  formatTotals,
  isWhole,
  lacksDestination,
  toJson,
  totalsOf,
} from './report.ts'
import { RunsProgress } from './runs-progress.ts'
import { newDestination } from './to.ts'
import { Told } from './told.ts'
import { GRACE_MS } from './watch.ts'
import { watchUntilSignal } from './watch-command.ts'

const DEFAULT_DEADLINE_SECONDS = 3600
const DEFAULT_INTERVAL_SECONDS = 10
const MAX_PARALLEL = 1024
/** Of so many runs each is shown in full. */
const FEW_RUNS = 3

export const syncCommand: Command = {
  name: 'sync',
  summary: 'send what runs still owe their backends, after a crash, an outage or on another machine',
  usage: 'sync RUN … | FOLDER … | --all | --watch [FOLDER …]  [--to BACKEND] [--destination NAME] [options]',
  details: [
    'RUN is an id or the folder of a run. FOLDER is any folder above runs, such as one copied from another machine.',
    'What was sent is not sent again. A run whose process died is closed as killed; one that is still being written',
    'is left alone.',
  ],
  options: {
    all: { type: 'boolean', doc: 'every run under the root folder' },
    watch: {
      type: 'boolean',
      doc: 'keep looking for runs that owe something and that nobody writes or delivers, until Ctrl-C or SIGTERM',
    },
    interval: {
      type: 'string',
      doc: `seconds between two looks of --watch (default: ${DEFAULT_INTERVAL_SECONDS})`,
    },
    to: {
      type: 'string',
      doc: 'send the whole history to this backend too, such as mlflow or mlflow:team, and to no other',
    },
    'to-option': {
      type: 'string',
      multiple: true,
      doc: 'KEY=VALUE of --to, such as uri=https://host; else as its environment says',
    },
    destination: { type: 'string', multiple: true, doc: 'only these of the run, such as mlflow' },
    project: { ...PROJECT_OPTION, doc: 'of this project only' },
    dir: DIR_OPTION,
    parallel: { type: 'string', doc: `runs open at once (default: ${DEFAULT_PARALLEL})` },
    deadline: {
      type: 'string',
      doc: `longest time for each run, in seconds (default: ${DEFAULT_DEADLINE_SECONDS})`,
    },
    full: { type: 'boolean', doc: `tables of every run (default: of up to ${FEW_RUNS})` },
    json: { ...JSON_OPTION, doc: 'one JSON document instead of text; with --watch an object a line' },
  },
  outlivesReader: true,
  exits: {
    [EXIT.ok]: 'every run is delivered',
    [EXIT.failed]: 'something is still undelivered, or a run cannot be read or is still being written',
    [EXIT.interrupted]:
      'ended by Ctrl-C (143 by SIGTERM, 129 by SIGHUP); --watch: by the second, after the first 0 or 1 as above',
  },
  maxPositionals: Number.POSITIVE_INFINITY,
  async run(values, named) {
    const all = values.all === true
    const isWatching = values.watch === true
    if (isWatching ? all : all === named.length > 0)
      throw new UsageError('sync: name runs (an id or a folder each), or --all, or --watch')
    const options = await readOptions(values)
    const places: Places = { dir: rootFolder(values), project: values.project as string | undefined }
    const isJson = values.json === true
    if (isWatching) {
      const interval = (values.interval as string | undefined) ?? String(DEFAULT_INTERVAL_SECONDS)
      const intervalMs = wholeNumber(interval, 'interval', 1, 86_400) * 1000
      return watchUntilSignal({ ...options, intervalMs, named, places, isJson })
    }
    const { folders, unfound } = all ? { folders: allRuns(places), unfound: [] } : namedRuns(named, places)
    // what cannot be found is the only thing there is to say
    if (folders.length === 0 && unfound.length === 1) throw unfound[0]!.error
    if (folders.length === 0 && unfound.length === 0 && !isJson) {
      process.stdout.write(`no runs under ${plain(places.dir)}\n`)
      return EXIT.ok
    }
    const isFull = values.full === true || folders.length + unfound.length <= FEW_RUNS
    const { outcomes: synced, notBegun, signalCode } = await syncAll(folders, options, { isJson, isFull })
    const outcomes = [...unfound.map(notFound), ...synced]
    if (folders.length === 1 && outcomes.length === 1 && !isSynced(outcomes[0]!) && !all && !isJson)
      throw (outcomes[0] as NotSynced).cause
    for (const outcome of outcomes) if (!isSynced(outcome)) say(formatNotSynced(outcome))
    const mayLack = all || folders.length > 1
    const counted = outcomes.filter((outcome) => !(mayLack && lacksDestination(outcome, options)))
    const code = close(outcomes, counted, notBegun, { isJson, isFull })
    return signalCode ?? code
  },
}

/** @throws UsageError; TraceletError ERR_OPTION, ERR_BACKEND_UNKNOWN */
async function readOptions(values: Readonly<Record<string, unknown>>): Promise<SyncRunsOptions> {
  const number = (name: string, standard: number, max: number) =>
    wholeNumber((values[name] as string | undefined) ?? String(standard), name, 1, max)
  const toOptions = (values['to-option'] as string[] | undefined) ?? []
  if (values.to === undefined && toOptions.length > 0) throw new UsageError('sync: --to-option needs --to')
  const to =
    values.to === undefined ? undefined : await newDestination(values.to as string, toOptions, process.env)
  const given = values.destination === undefined ? [] : words(values.destination as string[])
  const destinations = [...new Set([...(to ? [to.name] : []), ...given])]
  return {
    ...(destinations.length > 0 && { destinations }),
    ...(to && { prepare: to.add }),
    parallel: number('parallel', DEFAULT_PARALLEL, MAX_PARALLEL),
    deadlineMs: number('deadline', DEFAULT_DEADLINE_SECONDS, 604_800) * 1000,
    environment: process.env,
  }
}

interface Showing {
  readonly isJson: boolean
  readonly isFull: boolean
}

async function syncAll(
  folders: readonly string[],
  options: SyncRunsOptions,
  { isJson, isFull }: Showing,
): Promise<{
  readonly outcomes: readonly SyncOutcome[]
  readonly notBegun: number
  readonly signalCode: number | undefined
}> {
  const isOne = folders.length === 1
  const status = new StatusLine()
  // the standard output is the document's alone
  const output = isJson ? process.stderr : process.stdout
  const progress = new DeliveryProgress(output)
  const runs = isOne ? undefined : new RunsProgress(folders.length, output)
  const told = new Told(!isOne, () => (runs ?? progress).clear())
  const ending = new Ending(`what is under way has ${GRACE_MS / 1000} s`)
  if (isOne && !isJson) status.show(`delivering ${plain(folders[0]!)}`)
  try {
    const outcomes = await syncRuns(folders, {
      ...options,
      end: { signal: ending.signal, graceMs: GRACE_MS },
      onMessage: (message) => told.hear(message),
      onDamage: (issue) => told.damaged(issue),
      onStart: (run, read) => {
        status.clear()
        if (runs === undefined) progress.start(read)
        else runs.start(run, read)
      },
      onEnd: (outcome) => {
        progress.stop()
        runs?.end(outcome)
        status.clear()
        if (isSynced(outcome) && !isJson) write(isFull ? `${formatRun(outcome)}\n` : formatRunLine(outcome))
      },
    })
    return { outcomes, notBegun: folders.length - outcomes.length, signalCode: ending.exitCode }
  } finally {
    ending.stop()
    progress.stop()
    runs?.stop()
    status.clear()
  }
}

function write(text: string | undefined): void {
  if (text !== undefined) process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

function notFound({ folder, error }: Unfound): NotSynced {
  const { code, message } = asTraceletError(folder, error)
  return { folder, error: { code, message }, cause: error }
}

function close(
  outcomes: readonly SyncOutcome[],
  counted: readonly SyncOutcome[],
  notBegun: number,
  { isJson, isFull }: Showing,
): number {
  const complete = notBegun === 0 && counted.every((outcome) => isSynced(outcome) && isWhole(outcome))
  const totals = totalsOf(counted, notBegun)
  if (isJson) {
    write(jsonText({ complete, runs: outcomes.map(toJson), totals }))
  } else {
    if (!isFull) write(formatTotals(totals))
    write(closingLine(totals))
  }
  return complete ? EXIT.ok : EXIT.failed
}
