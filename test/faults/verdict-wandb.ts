/** What must hold at W&B's stand-in of a run that was killed, once all is delivered. */
import assert from 'node:assert/strict'
import { openRun } from '../../src/index.ts'
import type { StoredPoint } from '../sinks/harness.ts'
import type { StandInRun } from '../sinks/wandb/stand-in/stand-in.ts'
import { seriesName } from './truth.ts'
import { checkPoints, type StoredSeries } from './verdict.ts'
import { type Line, parseLine } from './wandb-rows.ts'

const EXIT_CODES = { running: undefined, finished: 0, failed: 1, killed: 255 } as const

/** Points, texts and images once each in lines whose steps rise, images as files; parameters, tags and the end. */
export function checkWandbRun(run: StandInRun, folder: string, journal: readonly StoredSeries[]): void {
  assert.deepEqual(run.problems, [])
  const lines = run.history.map(parseLine)
  checkSteps(lines)
  checkPoints('W&B', pointsOf(lines), withTimesOf(lines, journal))
  checkPlaced(lines, run, folder)
  const stored = openRun(folder)
  const { state } = stored.state()
  const params = Object.fromEntries(Object.entries(run.config).map(([name, value]) => [name, String(value)]))
  const expected = Object.entries(stored.params()).map(([name, value]) => [name, String(value)])
  assert.deepEqual(params, Object.fromEntries(expected))
  for (const tag of Object.keys(stored.tags()))
    assert.ok(
      run.tags.some((held) => held.startsWith(tag)),
      `${tag} is none of ${run.tags.join(', ')}`,
    )
  assert.deepEqual([run.state, run.exitCode], [state, EXIT_CODES[state]])
}

/**
 * A line has one time, in whole ms: that of one of its points, so no earlier than the first of its step and no later
 * than the last. Which points are in it the journal's values do not tell.
 */
function withTimesOf(lines: readonly Line[], journal: readonly StoredSeries[]): StoredSeries[] {
  const spans = new Map<string, [first: number, last: number]>()
  const stepOf = ({ life, thread }: StoredSeries, step: number) => `${life} ${thread} ${step}`
  for (const series of journal)
    for (const [i, step] of series.step.entries()) {
      const time = Math.floor(series.time[i]!)
      const [first, last] = spans.get(stepOf(series, step)) ?? [time, time]
      spans.set(stepOf(series, step), [Math.min(first, time), Math.max(last, time)])
    }
  const told = new Map<string, number[]>()
  for (const { key, step, time } of pointsOf(lines)) {
    const place = `${key} ${step}`
    told.set(place, [...(told.get(place) ?? []), time])
  }
  return journal.map((series) => ({
    ...series,
    time: series.step.map((step) => {
      const [first, last] = spans.get(stepOf(series, step))!
      const place = `${seriesName(series.life, series.thread, series.series)} ${step}`
      const time = told.get(place)?.shift()
      return time !== undefined && time >= first && time <= last ? time : first
    }),
  }))
}

/** The numbers of the lines; texts, images and what has no series are no points. */
export function pointsOf(lines: readonly Line[]): StoredPoint[] {
  return lines.flatMap(({ global_step: step, _timestamp: seconds, ...line }) =>
    Object.entries(line)
      .filter(([key, value]) => !key.startsWith('_') && typeof value === 'number')
      .map(([key, value]) => ({
        key,
        step: step as number,
        time: (seconds as number) * 1000,
        value: value as number,
      })),
  )
}

function checkSteps(lines: readonly Line[]): void {
  let last = -1
  for (const [n, { _step }] of lines.entries()) {
    assert.ok((_step as number) > last, `line ${n} has _step ${_step} after ${last}`)
    last = _step as number
  }
}

/** Each text and each image stands in one line of its step, and the file of each image is there and was told of. */
function checkPlaced(lines: readonly Line[], run: StandInRun, folder: string): void {
  const found: string[] = []
  for (const { global_step: step, ...line } of lines) {
    for (const [key, value] of Object.entries(line)) {
      if (typeof value !== 'object' && typeof value !== 'string') continue
      found.push(`${step} ${key}`)
      for (const path of pathsIn(value)) {
        assert.ok(run.files.has(path), `${path}, named at ${step}, is not there`)
        assert.ok(run.uploaded.includes(path), `${path} was not called uploaded`)
      }
    }
  }
  const stored = openRun(folder)
  const expected = [...stored.texts(), ...stored.images()].map(({ name, step }) => `${step} ${name}`)
  assert.deepEqual(found.sort(), expected.sort(), 'texts and images')
}

function pathsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = 'path' in value && typeof value.path === 'string' ? [value.path] : []
  const several = 'filenames' in value ? (value.filenames as string[]) : []
  return [...own, ...several, ...Object.values(value).flatMap(pathsIn)]
}
