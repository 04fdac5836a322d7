/** What a kill cost: the journal against the diaries that were kept up to it. */
import assert from 'node:assert/strict'
import { diaryPath, latenessPath, type Orders } from './orders.ts'
import { ENTRY, type Entry, type Lateness, readDiary, readLateness, STALLED_MS } from './progress.ts'
import { SERIES, THREADS } from './truth.ts'
import { type StoredSeries, seriesOf, sum } from './verdict.ts'

/** G4: calls of the last so many ms before a kill may be missing. */
const MISSING_MS = 20
/** Handle calls of a burst that may stay unpublished before a synchronous wait. */
const UNPUBLISHED_POINTS = 31
const TOLD_MS = 150
/** What holds in each round, however the machine fared. */
const NEVER_MISSING_MS = 250

/** What a kill cost. */
export interface Loss {
  /** Points that had to be there, and those that were there. */
  readonly due: number
  readonly stored: number
  /** By the diary, at most so long before the kill was the first call that is missing. */
  readonly missingMs: number
  /** By so much the 20 ms were widened, since the drain thread could not run. */
  readonly widenedMs: number
  /** More was missing than even the widened bound allows: what, and how the threads fared. */
  readonly excess?: string
}

/**
 * Of the last life: whatever a flush promised is there, and all but the calls of the last 20 ms. What keeps a thread
 * from running is not always in the system's counts, so calls beyond the bound are told, and fail at once only where
 * no machine explains them.
 * @throws AssertionError
 */
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
    const missingMs = missing === undefined ? 0 : end.at - missing.at
    if (stored >= due) return [{ due, stored, missingMs, widenedMs }]
    const ago = (end.at - since).toFixed(1)
    const excess = `${thread}: ${stored} points, but ${due} were logged ${ago} ms before the kill\n${told(diary)}`
    assert.ok(missingMs <= NEVER_MISSING_MS + widenedMs, excess)
    return [{ due, stored, missingMs, widenedMs, excess }]
  })
}

/**
 * The moment before which every call must be in the journal: so far back that the drain thread has had 20 ms since
 * in which nothing kept it from running. Not counted is, and by so much the bound is widened: time in which it waited
 * for a processor by the system's own count; in which it stood still while a thread of V8 waited for one, since it
 * waits for those in a collection or compilation; and by which a thread that only naps for a millisecond was woken
 * late.
 */
function reckoning(
  diary: readonly Entry[],
  lateness: readonly Lateness[],
): { since: number; widenedMs: number } {
  const end = diary.at(-1)!
  const isStill = stillness(diary)
  let usableMs = 0
  for (let index = diary.length - 1; index > 0; index--) {
    const from = diary[index - 1]!
    const to = diary[index]!
    const spanMs = to.at - from.at
    const drainMs = to.drainWaitedMs - from.drainWaitedMs
    const idleMs = isStill[index] || spanMs >= STALLED_MS ? spanMs - (to.drainRanMs - from.drainRanMs) : 0
    const helpersMs = Math.min(idleMs, to.helpersWaitedMs - from.helpersWaitedMs)
    const lateMs = lateWithin(lateness, from.at, to.at)
    usableMs += Math.max(0, spanMs - Math.max(0, drainMs, helpersMs, lateMs))
    if (usableMs >= MISSING_MS) {
      const since = from.at + (usableMs - MISSING_MS)
      return { since, widenedMs: Math.max(0, end.at - since - MISSING_MS) }
    }
  }
  return { since: -Infinity, widenedMs: Math.max(0, end.at - diary[0]!.at - MISSING_MS) }
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
    .filter(({ at }) => end.at - at < TOLD_MS)
    .map(({ at, rows, drainRanMs, drainWaitedMs, helpersWaitedMs }) => {
      const times = [drainRanMs, drainWaitedMs, helpersWaitedMs].map((ms) => ms.toFixed(1))
      return [(at - end.at).toFixed(1), rows * SERIES, ...times].join(' ')
    })
  const head =
    "ms before the end, points logged, ms that the drain thread ran, that it and V8's threads waited"
  return `${head}:\n${lines.join('\n')}`
}
