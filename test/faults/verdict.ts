/**
 * What must hold after a kill. The checker knows what was logged (truth.ts) and what the diaries say; it looks at
 * the journal, at the offset fake and at TensorBoard's event file, and throws at the first thing that is wrong.
 */
import assert from 'node:assert/strict'
import { openRun, type StoredRun } from '../../src/index.ts'
import type { SyncedRun } from '../../src/pipeline/delivery/sync-run.ts'
import type { StoredPoint } from '../sinks/harness.ts'
import { readScalars } from './event-file.ts'
import { diaryPath, latenessPath, type Orders, paramsOf, tagsOf } from './orders.ts'
import { ENTRY, type Entry, type Lateness, readDiary, readLateness, STALLED_MS } from './progress.ts'
import { SERIES, seriesName, stepOf, THREADS, type Thread, valueAt } from './truth.ts'

/** G4: calls of the last so many ms before a kill may be missing. */
const MISSING_MS = 20
/** Handle calls of a burst that may stay unpublished before a synchronous wait. */
const UNPUBLISHED_POINTS = 31

/** One series of one thread, in the order of the store. */
export interface StoredSeries {
  readonly life: number
  readonly thread: Thread
  readonly series: number
  readonly step: readonly number[]
  readonly time: readonly number[]
  readonly value: readonly number[]
}

/** What a kill cost. */
export interface Loss {
  /** Points that had to be there, and those that were there. */
  readonly due: number
  readonly stored: number
  /** By the diary, at most so long before the kill was the first call that is missing. */
  readonly missingMs: number
  /** By so much the 20 ms were widened, since the drain thread could not run. */
  readonly widenedMs: number
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

/** What the last life's kill cost: compares the journal with the diaries that were kept up to it. */
export function checkLoss(journal: readonly StoredSeries[], orders: Orders): Loss[] {
  const lateness = readLateness(latenessPath(orders))
  return THREADS.flatMap((thread) => {
    const diary = readDiary(diaryPath(orders, thread))
    if (diary.length === 0) return []
    const stored = sum(seriesOf(journal, orders.life, thread).map(({ step }) => step.length))
    const promised = diary.findLast(({ kind }) => kind === ENTRY.flushed || kind === ENTRY.finished)
    const promisedPoints = (promised?.rows ?? 0) * SERIES
    assert.ok(
      stored >= promisedPoints,
      `${thread}: ${stored} points of ${promisedPoints} that a flush promised`,
    )
    const { since, widenedMs } = reckoning(diary, lateness)
    const tail = orders.style === 'rows' ? 0 : UNPUBLISHED_POINTS
    const due = Math.max(0, (diary.findLast(({ at }) => at <= since)?.rows ?? 0) * SERIES - tail)
    const end = diary.at(-1)!
    const missing = diary.find(({ rows }) => rows * SERIES - tail > stored)
    const loss = { due, stored, missingMs: missing === undefined ? 0 : end.at - missing.at, widenedMs }
    assert.ok(
      stored >= due,
      `${thread}: ${stored} points, but ${due} were logged ${(end.at - since).toFixed(1)} ms before the kill (${JSON.stringify(loss)})\n${told(diary)}`,
    )
    return [loss]
  })
}

/**
 * The moment before which every call must be in the journal: so far back that the drain thread has had 20 ms since
 * in which nothing kept it from running. Not counted is, and by so much the bound is widened: time in which it waited
 * for a processor by the system's own count; in which it stood still while a thread of V8 waited for one, since a
 * collection or compilation may have it wait for those; and by which a thread that only naps for a millisecond was
 * woken late.
 */
function reckoning(
  diary: readonly Entry[],
  lateness: readonly Lateness[],
): { since: number; widenedMs: number } {
  const end = diary.at(-1)!
  const isStill = stillness(diary)
  let usable = 0
  for (let index = diary.length - 1; index > 0; index--) {
    const from = diary[index - 1]!
    const to = diary[index]!
    const span = to.at - from.at
    const drainMs = to.drainWaitedMs - from.drainWaitedMs
    const helpersMs = isStill[index] ? to.helpersWaitedMs - from.helpersWaitedMs : 0
    const lateMs = lateWithin(lateness, from.at, to.at)
    usable += Math.max(0, span - Math.max(0, drainMs, helpersMs, lateMs))
    if (usable >= MISSING_MS) {
      const since = from.at + (usable - MISSING_MS)
      return { since, widenedMs: Math.max(0, end.at - since - MISSING_MS) }
    }
  }
  return { since: -Infinity, widenedMs: 0 }
}

/** For each entry, whether the drain thread stood still from the one before, in a stretch that no nap explains. */
function stillness(diary: readonly Entry[]): boolean[] {
  const isStill = diary.map(() => false)
  for (let from = 0, to = 0; from < diary.length; from = to + 1) {
    to = from
    while (diary[to + 1]?.drainRanMs === diary[from]!.drainRanMs) to++
    if (diary[to]!.at - diary[from]!.at >= STALLED_MS) isStill.fill(true, from + 1, to + 1)
  }
  return isStill
}

function lateWithin(lateness: readonly Lateness[], from: number, to: number): number {
  return sum(lateness.map(({ at, ms }) => Math.max(0, Math.min(to, at) - Math.max(from, at - ms))))
}

/** The end of a diary, for the report of a failure. */
function told(diary: readonly Entry[]): string {
  const end = diary.at(-1)!
  const lines = diary
    .filter(({ at }) => end.at - at < 150)
    .map(({ at, rows, drainWaitedMs, helpersWaitedMs }) =>
      [(at - end.at).toFixed(1), rows * SERIES, drainWaitedMs.toFixed(1), helpersWaitedMs.toFixed(1)].join(
        ' ',
      ),
    )
  return `ms before the end, points logged, ms that the drain thread ran, it waited, V8's threads waited:\n${lines.join('\n')}`
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
export function checkLaw(synced: SyncedRun, journal: readonly StoredSeries[]): void {
  assert.equal(synced.journaled, sum(journal.map(({ step }) => step.length)))
  for (const [name, sums] of Object.entries(synced.destinations)) {
    const { delivered, superseded, filtered, rejected, corrupt, pending, records, complete, reason } = sums
    assert.ok(complete, `${name} is not complete: ${reason}`)
    assert.deepEqual(
      { delivered, superseded, filtered, rejected, corrupt, pending },
      { delivered: synced.journaled, superseded: 0, filtered: 0, rejected: 0, corrupt: 0, pending: 0 },
      name,
    )
    const recordsDelivered = synced.recordsJournaled
    assert.deepEqual(
      records,
      { delivered: recordsDelivered, filtered: 0, rejected: 0, corrupt: 0, pending: 0 },
      name,
    )
  }
}

/** The fake holds the journal's points: each once, with its value and time, every thread's series in order. */
export function checkOffsetFake(points: readonly StoredPoint[], journal: readonly StoredSeries[]): void {
  const found = new Map<string, Columns>()
  for (const { key, step, time, value } of points) push(found, key, step, time, value)
  compare('the offset fake', found, journal, (value) => value)
}

/** So does the event file, as float32. */
export function checkEventFile(path: string, journal: readonly StoredSeries[]): void {
  const found = new Map<string, Columns>()
  for (const [tag, { step, wallSeconds, value }] of readScalars(path)) {
    for (let i = 0; i < step.length; i++) push(found, tag, step[i]!, wallSeconds[i]! * 1000, value[i]!)
  }
  compare('the event file', found, journal, Math.fround)
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

function seriesOf(all: readonly StoredSeries[], life: number, thread: Thread): StoredSeries[] {
  return all.filter((one) => one.life === life && one.thread === thread)
}

function isOf(thread: Thread, step: number): boolean {
  return (thread === 'main') === step >= 0
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
