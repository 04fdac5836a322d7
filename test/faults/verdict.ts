/**
 * What must hold after a kill, whenever it came. The checker knows what was logged (truth.ts); it looks at the
 * journal, at the offset fake and at TensorBoard's event file, and throws at the first thing that is wrong.
 */
import assert from 'node:assert/strict'
import type { RecordKind, SinkCapabilities } from '../../src/core/types.ts'
import { openRun, type Stats, type StoredRun } from '../../src/index.ts'
import { mlflow } from '../../src/sinks/mlflow/sink.ts'
import { tensorboard } from '../../src/sinks/tensorboard/sink.ts'
import { wandb } from '../../src/sinks/wandb/sink.ts'
import type { SyncedRun } from '../pipeline/delivery/sync-run.ts'
import append from '../sinks/fakes/append-sink.ts'
import identity from '../sinks/fakes/identity-sink.ts'
import offset from '../sinks/fakes/offset-sink.ts'
import type { StoredPoint } from '../sinks/harness.ts'
import { readScalars, type ScalarColumns } from './event-file.ts'
import { type Orders, paramsOf, tagsOf } from './orders.ts'
import { SERIES, seriesName, stepOf, THREADS, type Thread, valueAt } from './truth.ts'

/** One series of one thread, in the order of the store. */
export interface StoredSeries {
  readonly life: number
  readonly thread: Thread
  readonly series: number
  readonly step: readonly number[]
  readonly time: readonly number[]
  readonly value: readonly number[]
}

/** Every thread's points in the journal: their order, steps and values are those of the calls, without a gap. */
export function readJournal(folder: string, lives: readonly Orders[]): StoredSeries[] {
  const run = openRun(folder)
  const counts = new Map(run.series().map(({ name, context, points }) => [`${name}${context}`, points]))
  const found = lives.flatMap(({ life }) => readLife(run, life))
  for (const [name, points] of counts) {
    const ours = found.filter(({ life, thread, series }) => seriesName(life, thread, series) === name)
    assert.equal(sum(ours.map(({ step }) => step.length)), points, `nobody logged all of the series ${name}`)
  }
  for (const orders of lives) for (const thread of THREADS) checkPrefix(seriesOf(found, orders.life, thread))
  return found
}

function readLife(run: StoredRun, life: number): StoredSeries[] {
  return THREADS.flatMap((thread) =>
    Array.from({ length: SERIES }, (_, series) => {
      const { step, time, value } = run.history(seriesName(life, thread, series))
      const own = [...step.keys()].filter((index) => isOf(thread, step[index]!))
      return {
        life,
        thread,
        series,
        step: own.map((index) => step[index]!),
        time: own.map((index) => time[index]!),
        value: own.map((index) => value[index]!),
      }
    }),
  )
}

function checkPrefix(ofThread: readonly StoredSeries[]): void {
  for (const { life, thread, series, step, value } of ofThread) {
    const name = `${seriesName(life, thread, series)} of ${thread}`
    for (let row = 0; row < step.length; row++) {
      assert.equal(step[row], stepOf(thread, row), `${name}: step of point ${row} of ${step.length}`)
      const logged = valueAt(series, step[row]!)
      assert.ok(
        Object.is(value[row], logged),
        `${name}: step ${step[row]} holds ${value[row]}, not ${logged}`,
      )
    }
    // calls come series by series: no series is ahead of one before it, nor more than a row behind
    const before = ofThread[series - 1]?.step.length ?? step.length
    const first = ofThread[0]!.step.length
    assert.ok(
      step.length <= before && step.length >= first - 1,
      `${name}: ${step.length} points beside ${first}`,
    )
  }
}

/** Parameters and tags stand before the first point. */
export function checkRecords(
  folder: string,
  lives: readonly Orders[],
  journal: readonly StoredSeries[],
): void {
  const run = openRun(folder)
  const params = run.params()
  const tags = run.tags()
  for (const { life } of lives) {
    if (sum(seriesOf(journal, life, 'main').map(({ step }) => step.length)) === 0) continue
    for (const [name, value] of Object.entries(paramsOf(life))) assert.equal(params[name], value)
    for (const [name, value] of Object.entries(tagsOf(life))) assert.equal(tags[name], value)
  }
}

/** Every sum of a run that has been delivered to the end, on its own and against what the journal was seen to hold. */
export function checkLaw(synced: SyncedRun, journal: readonly StoredSeries[], folder: string): void {
  checkSums(synced, journal, folder)
  for (const [name, sums] of Object.entries(synced.destinations)) {
    const { filtered, rejected, pending, records, complete, reason } = sums
    assert.ok(complete, `${name} is not complete: ${reason}`)
    assert.deepEqual(
      { filtered, rejected, pending },
      { filtered: 0, rejected: 0, pending: 0 },
      `${name}: ${JSON.stringify(sums)}`,
    )
    assert.deepEqual(
      { filtered: records.filtered, rejected: records.rejected, pending: records.pending },
      { filtered: untaken(name, folder), rejected: 0, pending: 0 },
      `records of ${name}: ${JSON.stringify(records)}`,
    )
  }
}

/** As far as it has got: what is not delivered is pending. */
export function checkSums(synced: SyncedRun, journal: readonly StoredSeries[], folder: string): void {
  assert.equal(synced.journaled, sum(journal.map(({ step }) => step.length)))
  assert.equal(synced.recordsJournaled, [...openRun(folder).records()].length)
  for (const [name, sums] of Object.entries(synced.destinations)) {
    const { delivered, superseded, filtered, rejected, corrupt, pending, records } = sums
    const all = [delivered, filtered, rejected, corrupt, pending, ...Object.values(records)]
    assert.ok(
      all.every((count) => count >= 0),
      `${name}: ${JSON.stringify(sums)}`,
    )
    assert.equal(delivered + filtered + rejected + pending, synced.journaled, name)
    assert.equal(
      records.delivered + records.filtered + records.rejected + records.pending,
      synced.recordsJournaled,
      `records of ${name}`,
    )
    assert.deepEqual({ superseded, corrupt, recordsCorrupt: records.corrupt }, NONE, name)
  }
}
const NONE = { superseded: 0, corrupt: 0, recordsCorrupt: 0 }

/** The sums of a process that has ended by itself. */
export function checkProcess(stats: Stats): void {
  const { accepted, inRing, journaled, before, coalesced, lost, refused, records } = stats
  assert.equal(accepted, journaled + coalesced + lost.laneFull + lost.disk)
  assert.deepEqual({ inRing, refused, disk: lost.disk }, { inRing: 0, refused: 0, disk: 0 })
  assert.equal(records.accepted, records.journaled)
  assert.deepEqual({ parked: records.parked, lost: records.lost }, { parked: 0, lost: 0 })
  for (const [name, sums] of Object.entries(stats.destinations)) {
    const { delivered, filtered, rejected, corrupt, pending } = sums
    assert.equal(delivered + filtered + rejected + corrupt + pending, before.points + journaled, name)
    const all = Object.values(sums.records)
    assert.equal(sum(all), before.records + records.journaled, `records of ${name}`)
  }
}

const CAPABILITIES: Readonly<Record<string, SinkCapabilities>> = {
  mlflow: mlflow.capabilities,
  tensorboard: tensorboard.capabilities,
  wandb: wandb.capabilities,
  identity: identity.capabilities,
  offset: offset.capabilities,
  append: append.capabilities,
}

/** Records of kinds that the destination does not take. */
function untaken(destination: string, folder: string): number {
  const { records, uploads = [] } = CAPABILITIES[destination]!
  const taken = new Set<RecordKind | 'unknown'>([...records, ...uploads])
  return [...openRun(folder).records()].filter(({ kind }) => !taken.has(kind)).length
}

/** A fake holds the journal's points: each once, with its value and time, every thread's series in order. */
export function checkPoints(
  where: string,
  points: Iterable<StoredPoint>,
  journal: readonly StoredSeries[],
): void {
  const found = new Map<string, Columns>()
  for (const { key, step, time, value } of points) push(found, key, step, time, value)
  compare(where, found, journal, (value) => value)
}

/** So does the event file, as float32. */
export function checkEventFile(path: string, journal: readonly StoredSeries[]): void {
  checkScalars('the event file', readScalars(path), journal)
}

/** @param scalars by tag */
export function checkScalars(
  where: string,
  scalars: ReadonlyMap<string, ScalarColumns>,
  journal: readonly StoredSeries[],
): void {
  const found = new Map<string, Columns>()
  for (const [tag, { step, wallSeconds, value }] of scalars) {
    for (let i = 0; i < step.length; i++) push(found, tag, step[i]!, wallSeconds[i]! * 1000, value[i]!)
  }
  compare(where, found, journal, Math.fround)
}

interface Columns {
  readonly step: number[]
  readonly time: number[]
  readonly value: number[]
}

function push(found: Map<string, Columns>, name: string, step: number, time: number, value: number): void {
  const key = `${name} of ${isOf('main', step) ? 'main' : 'worker'}`
  let columns = found.get(key)
  if (!columns) found.set(key, (columns = { step: [], time: [], value: [] }))
  columns.step.push(step)
  columns.time.push(time)
  columns.value.push(value)
}

function compare(
  where: string,
  found: ReadonlyMap<string, Columns>,
  journal: readonly StoredSeries[],
  mapped: (value: number) => number,
): void {
  const names = new Set<string>()
  for (const { life, thread, series, step, time, value } of journal) {
    if (step.length === 0) continue
    const name = `${seriesName(life, thread, series)} of ${thread}`
    names.add(name)
    const there = found.get(name)
    assert.ok(there, `${where} has nothing of ${name}`)
    for (let i = 0; i < Math.min(step.length, there.step.length); i++) {
      const isEqual =
        there.step[i] === step[i] &&
        Math.abs(there.time[i]! - time[i]!) < 0.001 &&
        Object.is(there.value[i], mapped(value[i]!))
      assert.ok(
        isEqual,
        `${where}, ${name}, point ${i}: step ${there.step[i]}, time ${there.time[i]}, value ${there.value[i]}; ` +
          `the journal has step ${step[i]}, time ${time[i]}, value ${value[i]}`,
      )
    }
    assert.equal(there.step.length, step.length, `${where}: number of points of ${name}`)
  }
  assert.deepEqual(
    [...found.keys()].filter((name) => !names.has(name)),
    [],
    `${where} has series that the journal has not`,
  )
}

export function seriesOf(all: readonly StoredSeries[], life: number, thread: Thread): StoredSeries[] {
  return all.filter((one) => one.life === life && one.thread === thread)
}

function isOf(thread: Thread, step: number): boolean {
  return (thread === 'main') === step >= 0
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
