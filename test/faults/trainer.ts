/**
 * The program that the kill tests kill: logs to one run until it is told or killed, and keeps diaries of it.
 * argv: its orders as JSON. Says on stdout when it begins to log and when it begins to finish.
 */
import { writeFileSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { monotonicNow } from '../../src/core/clock.ts'
import {
  type AttachedRun,
  attachRun,
  type Run,
  type RunHandle,
  type StartOptions,
  startLogging,
} from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { diaryPath, latenessPath, type Orders, paramsOf, REWIND_STEP, statsPath, tagsOf } from './orders.ts'
import { Diary, ENTRY, type ThreadIds, threadIds } from './progress.ts'
import { Recorder } from './recorder.ts'
import { SERIES, seriesName, stepOf, type Thread, valueAt } from './truth.ts'

const ROWS_BETWEEN_LOOKS = 16

class Trainer {
  readonly #orders: Orders
  readonly #run: Run | AttachedRun
  readonly #thread: Thread
  readonly #diary: Diary
  readonly #recorder: Recorder
  readonly #names: string[]
  readonly #handles: ReturnType<Run['metric']>[]
  readonly #values: Record<string, number> = {}
  #rows = 0

  constructor(orders: Orders, run: Run | AttachedRun, thread: Thread, diary: Diary) {
    this.#orders = orders
    this.#run = run
    this.#thread = thread
    this.#diary = diary
    this.#recorder = new Recorder(orders, run, thread)
    this.#names = Array.from({ length: SERIES }, (_, series) => seriesName(orders.life, thread, series))
    this.#handles = this.#names.map((name) => run.metric(name))
  }

  async train(pace: Orders['pace'], mustStop: () => boolean): Promise<void> {
    const { finishAfterMs, flatRows, flushEveryMs, rowsPerMs, pauseMs, turns } = this.#orders
    const endAt = finishAfterMs > 0 && this.#thread === 'main' ? monotonicNow() + finishAfterMs : Infinity
    let flushAt = flushEveryMs > 0 ? monotonicNow() + flushEveryMs : Infinity
    this.#diary.write(ENTRY.rows, 0, 0)
    while (monotonicNow() < endAt && !mustStop()) {
      if (pace === 'flat' && this.#rows < flatRows) {
        this.#log(ROWS_BETWEEN_LOOKS)
        if (turns && this.#rows % 4096 === 0) await nextTurn()
      } else {
        this.#log(pace === 'bursts' ? rowsPerMs * 50 : rowsPerMs)
        await this.#pause(pace === 'bursts' ? pauseMs : 1)
      }
      this.#diary.note(this.#rows)
      if (this.#recorder.logWhenDue()) this.#diary.write(ENTRY.recorded, this.#rows, this.#recorder.count)
      if (monotonicNow() >= flushAt) {
        await this.flush()
        flushAt = monotonicNow() + flushEveryMs
      }
    }
  }

  async flush(): Promise<void> {
    const rows = this.#rows
    const records = this.#recorder.count
    await this.#run.flush()
    this.#diary.write(ENTRY.flushed, rows, records)
  }

  note(kind: number): void {
    this.#diary.write(kind, this.#rows, this.#recorder.count)
  }

  #log(rows: number): void {
    const { style } = this.#orders
    for (let end = this.#rows + rows; this.#rows < end; this.#rows++) {
      const step = stepOf(this.#thread, this.#rows)
      if (style === 'handles' || (style === 'mixed' && (this.#rows & 1) === 0)) {
        for (let series = 0; series < SERIES; series++)
          this.#handles[series]!.log(step, valueAt(series, step))
      } else {
        for (let series = 0; series < SERIES; series++)
          this.#values[this.#names[series]!] = valueAt(series, step)
        this.#run.log(this.#values, { step })
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    for (const until = monotonicNow() + ms; monotonicNow() < until; ) {
      if (this.#orders.turns) await sleep(1)
      else Atomics.wait(NEVER, 0, 0, 1)
      this.#diary.note(this.#rows)
    }
  }
}

const NEVER = new Int32Array(new SharedArrayBuffer(4))

interface WorkerStart {
  readonly orders: Orders
  readonly handle: RunHandle
  readonly threads: ThreadIds
  readonly stop: Int32Array
}
const STOP = { asked: 1, done: 2 } as const

async function main(orders: Orders): Promise<void> {
  const { dir, life, hasWorker } = orders
  const helpers = threadIds().filter((id) => id !== String(process.pid))
  const data = { path: latenessPath(orders) }
  new Worker(workerUrl('./lateness', import.meta.url), { workerData: data }).unref()
  const before = new Set(threadIds())
  const run = startLogging({ dir, ...entryOf(orders), params: paramsOf(life), tags: tagsOf(life) })
  // the first new one is the drain thread: it was there before those that it starts
  const threads = {
    helpers,
    drain: threadIds()
      .filter((id) => !before.has(id))
      .slice(0, 1),
  }
  const stop = new Int32Array(new SharedArrayBuffer(4))
  if (hasWorker) {
    const start: WorkerStart = { orders, handle: run.handle(), threads, stop }
    new Worker(new URL(import.meta.url), { workerData: start }).unref()
  }
  const diary = new Diary(diaryPath(orders, 'main'), threads)
  const trainer = new Trainer(orders, run, 'main', diary)
  writeSync(1, 'logging\n')
  await trainer.train(orders.pace, () => false)
  if (hasWorker) await until(stop, STOP.asked, STOP.done)
  trainer.note(ENTRY.finishing)
  writeSync(1, 'finishing\n')
  const stats = await run.finish('finished', { deadlineMs: orders.finishDeadlineMs })
  writeFileSync(statsPath(orders), JSON.stringify(stats))
  trainer.note(ENTRY.finished)
  process.exit(0)
}

function entryOf({ entry, runId, backend }: Orders): StartOptions {
  if (entry === 'runId') return { runId, backend }
  return { resume: entry === 'resume' ? runId : { runId, fromStep: REWIND_STEP } }
}

async function work({ orders, handle, threads, stop }: WorkerStart): Promise<void> {
  const diary = new Diary(diaryPath(orders, 'worker'), threads)
  const trainer = new Trainer(orders, attachRun(handle), 'worker', diary)
  await trainer.train('steady', () => Atomics.load(stop, 0) === STOP.asked)
  await trainer.flush()
  trainer.note(ENTRY.finished)
  Atomics.store(stop, 0, STOP.done)
}

async function until(word: Int32Array, ask: number, answer: number): Promise<void> {
  Atomics.store(word, 0, ask)
  while (Atomics.load(word, 0) !== answer) await sleep(1)
}

if (isMainThread) await main(JSON.parse(process.argv[2]!) as Orders)
else await work(workerData as WorkerStart)
