/**
 * What a run at rest owes, as its folder says: nothing is guarded, opened or asked for it. A run whose process died
 * is closed first, so that its end is among what is owed.
 */
import {
  CURSOR_WORDS,
  createCounters,
  DESTINATION,
  DESTINATION_STATES,
  destinationCounters,
  RUN,
  runCounters,
} from '../../core/counters.ts'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import { type Environment, nearest } from '../../core/options.ts'
import type { Cursor, DestinationName, RunInfo, SettledCounts } from '../../core/types.ts'
import { scanJournal } from '../journal/scan.ts'
import { readTail } from '../journal/tail.ts'
import type { DestinationSpec } from '../messages.ts'
import { closeDeadRun } from '../store/close-dead-run.ts'
import { CursorStore, uploadsName } from '../store/cursor.ts'
import { UNSURE_UNTIL } from '../store/guard.ts'
import { holderOf, isHeld } from '../store/guard-look.ts'
import { latestDestinations, type RunDestination, readRunFile, runInfo } from '../store/run-file.ts'
import { Ledger } from './ledger.ts'
import { loadDefinition, resolveDestination } from './resolve-destination.ts'

export interface SyncPlan {
  readonly run: RunInfo
  /** With what each destination has settled so far. */
  readonly counters: SharedArrayBuffer
  readonly specs: readonly DestinationSpec[]
  /** Those of them that are not known to have everything. */
  readonly owing: readonly DestinationSpec[]
  /** Those whose store the journal itself is. */
  readonly inJournal: ReadonlySet<DestinationName>
  /** Points and records that the journal holds. */
  readonly points: number
  readonly records: number
  /** What was settled before, by the name of the cursor's store. */
  readonly settled: ReadonlyMap<string, SettledCounts>
  readonly urls: ReadonlyMap<DestinationName, string>
  /** Its process had died: it is 'killed' since now. */
  readonly hasDied: boolean
  /** A process writes it: it is delivered as far as `points` and `records` say. Default: it is at rest. */
  readonly isLive?: boolean
}

/**
 * @param names destinations to deliver to; default: all of the run
 * @param onDamage told of what is damaged of its file although the run can be read
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT; ERR_OPTION for a destination that the run has not;
 * ERR_RUN_BUSY while a live process writes it
 */
export async function planSync(
  folder: string,
  names: readonly DestinationName[] | undefined,
  environment: Environment,
  onDamage?: (issue: ErrorRecord) => void,
): Promise<SyncPlan> {
  const file = readRunFile(folder, onDamage)
  const run = runInfo(folder, file)
  const specs = choose(latestDestinations(file), names).map(toSpec)
  const death = closeDeadRun(folder)
  if (death === 'alive' || isHeld(folder, 'writer')) throw busy(folder)
  const counters = createCounters(specs.length)
  let { points, records } = readTail(folder)
  const count = () => {
    const words = runCounters(counters)
    words[RUN.pointsBefore] = points
    words[RUN.recordsBefore] = records
    words[RUN.seq] = points + records
  }
  count()
  const settled = new Map<string, SettledCounts>()
  const urls = new Map<DestinationName, string>()
  const inJournal = new Set<DestinationName>()
  const owing: DestinationSpec[] = []
  for (const spec of specs) {
    const found = await settledBy(spec, run, counters, environment)
    for (const [store, cursor] of found.cursors) settled.set(store, cursor.settled)
    if (found.url !== undefined) urls.set(spec.name, found.url)
    if (found.inJournal) inJournal.add(spec.name)
    if (!found.isAll) owing.push(spec)
  }
  if (owing.length > 0) {
    // the short read of the tail is good for knowing that there is nothing to do
    const end = scanJournal(folder, 0, run.id)
    points = end.points
    records = end.seq - end.points
    count()
  }
  for (const { name, index } of specs) {
    if (!inJournal.has(name)) continue
    const block = destinationCounters(counters, index)
    block[DESTINATION.delivered] = points
    block[DESTINATION.recordsDelivered] = records
    block[DESTINATION.state] = DESTINATION_STATES.indexOf('closed')
  }
  const hasDied = death === 'closed'
  return { run, counters, specs, owing, inJournal, points, records, settled, urls, hasDied }
}

interface FoundSettled {
  readonly cursors: ReadonlyMap<string, Cursor>
  readonly url: string | undefined
  readonly isAll: boolean
  readonly inJournal?: true
}

async function settledBy(
  spec: DestinationSpec,
  run: RunInfo,
  counters: SharedArrayBuffer,
  environment: Environment,
): Promise<FoundSettled> {
  const block = destinationCounters(counters, spec.index)
  const cursors = new Map<string, Cursor>()
  let isSound = true
  try {
    const definition = await loadDefinition(spec)
    if (definition.inJournal) return { cursors, url: undefined, isAll: true, inJournal: true }
    const { address } = resolveDestination(spec, definition, run, environment)
    const load = (store: string, half: Float64Array) => {
      const { cursor, isOnDisk } = new Ledger(
        new CursorStore(run.folder, store, () => (isSound = false)),
        address,
        half,
      )
      if (!isOnDisk) return undefined
      cursors.set(store, cursor)
      return cursor
    }
    const rows = load(spec.name, block.subarray(0, CURSOR_WORDS))
    const uploads = load(uploadsName(spec.name), block.subarray(CURSOR_WORDS))
    const isAll = isSound && hasAll(rows, uploads, runCounters(counters)[RUN.seq]!)
    if (isAll) {
      for (const half of [0, CURSOR_WORDS])
        block[half + DESTINATION.state] = DESTINATION_STATES.indexOf('closed')
    }
    return { cursors, url: rows?.url, isAll }
  } catch {
    // whoever opens it says what is wrong
    return { cursors, url: undefined, isAll: false }
  }
}

/** Rows stand at the end of the journal with none open behind, and uploads have settled what rows left to them. */
function hasAll(rows: Cursor | undefined, uploads: Cursor | undefined, seq: number): boolean {
  if ((rows?.seq ?? 0) < seq || rows?.rows !== undefined) return false
  const left = rows?.settled.elsewhere ?? 0
  if (left === 0) return true
  if (uploads === undefined) return false
  const { recordsDelivered, recordsFiltered, recordsRejected, recordsCorrupt } = uploads.settled
  return recordsDelivered + recordsFiltered + recordsRejected + recordsCorrupt === left
}

function toSpec({ name, kind, module, options }: RunDestination, index: number): DestinationSpec {
  return { name, index, kind, ...(module !== undefined && { module }), options }
}

function choose(
  known: ReadonlyMap<DestinationName, RunDestination>,
  wanted: readonly DestinationName[] = [...known.keys()],
): RunDestination[] {
  return wanted.map((name) => {
    const destination = known.get(name)
    if (destination !== undefined) return destination
    const near = nearest(name, [...known.keys()])
    throw new TraceletError(
      'ERR_OPTION',
      `the run has no destination '${name}'${near ? `; did you mean '${near}'?` : `; it has ${[...known.keys()].join(', ') || 'none'}`}`,
    )
  })
}

function busy(folder: string): TraceletError {
  const guard = holderOf(folder, 'writer')
  if (guard?.state === 'unreadable') {
    return new TraceletError(
      'ERR_RUN_BUSY',
      `the guard ${guard.path} is damaged or was made by a newer tracelet, so nobody can say whether a process writes this run: ${UNSURE_UNTIL}`,
    )
  }
  const holder = guard?.holder
  const who = holder === undefined ? 'a live process' : `process ${holder.pid} on ${holder.hostname}`
  return new TraceletError(
    'ERR_RUN_BUSY',
    `${who} writes this run, or the run that this folder is a copy of: sync it when that has ended`,
  )
}
