/**
 * The soak's training process: logs at a steady rate to two fakes and tells how it is once a second. argv: its
 * orders as JSON.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type StartOptions, type Stats, startLogging } from '../src/index.ts'
import { SERIES, seriesName, valueAt } from './soak-wire.ts'

export interface TrainerOrders {
  readonly dir: string
  readonly seconds: number
  readonly pointsPerSecond: number
  readonly backend: StartOptions['backend']
  readonly options: Readonly<Record<string, unknown>>
  readonly finishMs: number
}
export interface Look {
  /** Since the first point. */
  readonly seconds: number
  readonly rssBytes: number
  readonly logged: number
  readonly stats: Stats
  /** Longest time between two turns of the loop since the last look. */
  readonly longestTurnMs: number
}
export type FromTrainer =
  | { readonly type: 'run'; readonly folder: string }
  | ({ readonly type: 'look' } & Look)
  | { readonly type: 'logged' }
  | { readonly type: 'finished'; readonly logged: number; readonly stats: Stats; readonly finishMs: number }

const LOOK_MS = 1000
const tell = (message: FromTrainer) => process.send!(message)

const { dir, seconds, pointsPerSecond, backend, options, finishMs } = JSON.parse(
  process.argv[2]!,
) as TrainerOrders
const run = startLogging({ dir, backend, ...options } as StartOptions)
tell({ type: 'run', folder: run.info.folder })
const metrics = Array.from({ length: SERIES }, (_, series) => run.metric(seriesName(series)))
const rowsPerMs = pointsPerSecond / SERIES / 1000
const since = performance.now()
let step = 0
let lookAt = LOOK_MS
let turnedAt = 0
let longestTurnMs = 0
for (let now = 0; now < seconds * 1000; now = performance.now() - since) {
  longestTurnMs = Math.max(longestTurnMs, now - turnedAt)
  turnedAt = now
  for (const due = Math.floor(now * rowsPerMs); step < due; step++) {
    for (let series = 0; series < SERIES; series++) metrics[series]!.log(step, valueAt(series, step))
  }
  if (now >= lookAt) {
    lookAt += LOOK_MS
    const rssBytes = process.memoryUsage.rss()
    tell({
      type: 'look',
      seconds: now / 1000,
      rssBytes,
      logged: step * SERIES,
      stats: run.stats(),
      longestTurnMs,
    })
    longestTurnMs = 0
  }
  await sleep(1)
}
tell({ type: 'logged' })
await new Promise((resolve) => process.once('message', resolve))
const before = performance.now()
const stats = await run.finish('finished', { deadlineMs: finishMs })
tell({ type: 'finished', logged: step * SERIES, stats, finishMs: performance.now() - before })
process.disconnect()
