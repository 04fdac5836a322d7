/** Several threads log to one run: each has its lane, none can hurt another, and no end of a thread loses a point. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { PRODUCERS, RUN } from '../../src/core/counters.ts'
import type { Stats } from '../../src/core/types.ts'
import { attachRun, type Run, type RunHandle, startLogging } from '../../src/index.ts'
import { type Journaled, readJournal, valuesOf } from './journaled.ts'
import { temporaryFolder } from './program.ts'

const ROWS = 20_000
/** Shared words between a test and its worker. */
const STOP = 0
const LOGGED = 1

interface Task {
  readonly handle?: RunHandle
  readonly name: string
  /** Rows to log; without it until STOP is set. */
  readonly rows?: number
  readonly words: SharedArrayBuffer
}

/** Values are a relation of producer and step, so that anything mixed up shows. */
const expectedAt = (name: string, step: number) => step / 3 + name.length

async function work({ handle, name, rows = Infinity, words }: Task): Promise<void> {
  const shared = new Int32Array(words)
  const run = attachRun(handle!)
  const bound = run.metric(`${name}/bound`)
  let step = 0
  for (; step < rows && Atomics.load(shared, STOP) === 0; step++) {
    run.log({ [`${name}/row`]: expectedAt(name, step), shared: step }, { step })
    bound.log(step, -expectedAt(name, step))
    Atomics.store(shared, LOGGED, step + 1)
  }
  if (!(await run.flush())) throw new Error('not flushed in time')
  parentPort!.postMessage({ logged: step })
}

function start(task: Omit<Task, 'words'>): { worker: Worker; shared: Int32Array; logged: Promise<number> } {
  const words = new SharedArrayBuffer(8)
  const worker = new Worker(new URL(import.meta.url), { workerData: { ...task, words } satisfies Task })
  const logged = new Promise<number>((resolve, reject) => {
    worker.on('message', (message: { logged: number }) => resolve(message.logged))
    worker.on('error', reject)
  })
  logged.catch(() => undefined)
  return { worker, shared: new Int32Array(words), logged }
}

function newRun(context: TestContext, options: Parameters<typeof startLogging>[0] = {}): Run {
  return startLogging({ dir: temporaryFolder(context), backend: 'local', ...options })
}

function assertComplete(journaled: Journaled, name: string, rows: number): void {
  for (const [series, sign] of [
    [`${name}/row`, 1],
    [`${name}/bound`, -1],
  ] as const) {
    const points = journaled.points.get(series) ?? []
    assert.equal(points.length, rows, series)
    const wrong = points.findIndex(({ step, value }, i) => step !== i || value !== sign * expectedAt(name, i))
    assert.equal(wrong, -1, `${series}, point ${wrong}: ${JSON.stringify(points[wrong])}`)
  }
}

function assertLaw({ accepted, journaled, coalesced, lost, inRing }: Stats): void {
  assert.equal(inRing, 0)
  assert.equal(accepted, journaled + coalesced + lost.laneFull + lost.disk)
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

if (!isMainThread) {
  const task = workerData as Task
  if (task.handle) await work(task)
  else parentPort!.once('message', (handle: RunHandle) => work({ ...task, handle }))
} else {
  test('four threads and main log at once: every point once, each series in its order', async (context) => {
    const run = newRun(context)
    const names = ['a', 'bb', 'ccc', 'dddd']
    const workers = names.map((name) => start({ handle: run.handle(), name, rows: ROWS }))
    for (let step = 0; step < ROWS; step++) {
      run.log({ 'main/row': expectedAt('main', step), shared: step }, { step })
      run.metric('main/bound').log(step, -expectedAt('main', step))
      if (step % 1000 === 0) await new Promise(setImmediate)
    }
    assert.deepEqual(await Promise.all(workers.map(({ logged }) => logged)), [ROWS, ROWS, ROWS, ROWS])
    const stats = await run.finish()
    const journaled = readJournal(run.info.folder)
    for (const name of [...names, 'main']) assertComplete(journaled, name, ROWS)
    assert.equal(journaled.points.get('shared')?.length, 5 * ROWS)
    assert.deepEqual([stats.accepted, stats.lost], [15 * ROWS, { laneFull: 0, disk: 0 }])
    assert.equal(stats.journaled, journaled.count)
    assertLaw(stats)
    await Promise.all(workers.map(({ worker }) => worker.terminate()))
  })

  test('a thread that is terminated: what its calls returned from is there, the others go on', async (context) => {
    const run = newRun(context)
    const victim = start({ handle: run.handle(), name: 'victim' })
    const other = start({ handle: run.handle(), name: 'other', rows: ROWS })
    await until(() => Atomics.load(victim.shared, LOGGED) > 5000)
    await victim.worker.terminate()
    const returned = Atomics.load(victim.shared, LOGGED)
    for (let step = 0; step < 100; step++) run.log({ main: step }, { step })
    assert.equal(await other.logged, ROWS)
    const since = performance.now()
    const stats = await run.finish()
    assert.ok(performance.now() - since < 5000)
    const journaled = readJournal(run.info.folder)
    assertComplete(journaled, 'other', ROWS)
    assert.equal(valuesOf(journaled, 'main').length, 100)
    // log() publishes its row; of bound handles the last 31 calls may be unpublished, but a row follows each here
    const rows = journaled.points.get('victim/row')!
    assert.ok(rows.length === returned || rows.length === returned + 1, `${rows.length} rows of ${returned}`)
    assert.ok(rows.every(({ step, value }, i) => step === i && value === expectedAt('victim', i)))
    const bound = journaled.points.get('victim/bound')!
    assert.ok(bound.length >= returned - 1, `${bound.length} points of ${returned}`)
    assert.ok(bound.every(({ step, value }, i) => step === i && value === -expectedAt('victim', i)))
    // it may have died between a row and its count
    assert.ok(Math.abs(stats.inRing) <= 3, `${stats.inRing} in the ring`)
    await other.worker.terminate()
  })

  test('finish() while threads log: nothing is lost, what comes after it is late, the sums are exact', async (context) => {
    const run = newRun(context)
    const workers = ['a', 'bb'].map((name) => start({ handle: run.handle(), name }))
    await until(() => workers.every(({ shared }) => Atomics.load(shared, LOGGED) > 1000))
    const atFinish = await run.finish()
    assert.equal(atFinish.accepted >= 6000, true)
    const finishedAt = workers.map(({ shared }) => Atomics.load(shared, LOGGED))
    await until(() => workers.every(({ shared }, i) => Atomics.load(shared, LOGGED) > finishedAt[i]! + 1000))
    for (const { shared } of workers) Atomics.store(shared, STOP, 1)
    const logged = await Promise.all(workers.map(({ logged }) => logged))
    const stats = run.stats()
    const journaled = readJournal(run.info.folder)
    assertComplete(journaled, 'a', logged[0]!)
    assertComplete(journaled, 'bb', logged[1]!)
    assert.equal(stats.accepted, 3 * (logged[0]! + logged[1]!))
    assert.equal(stats.journaled, journaled.count)
    assertLaw(stats)
    assert.ok(stats.late >= 6000, `${stats.late} late`)
    assert.ok(stats.late <= stats.accepted - 6000)
    await Promise.all(workers.map(({ worker }) => worker.terminate()))
  })

  test('points that main logs after finish() are journaled and counted as late', async (context) => {
    const run = newRun(context)
    const other = newRun(context)
    run.log({ loss: 1 }, { step: 0 })
    const before = await run.finish()
    assert.deepEqual([before.journaled, before.late], [1, 0])
    run.log({ loss: 2 }, { step: 1 })
    run.metric('loss').log(2, 3)
    run.logParams({ late: true })
    const stats = await run.flush()
    assert.deepEqual([stats.accepted, stats.journaled, stats.late], [3, 3, 2])
    assertLaw(stats)
    const journaled = readJournal(run.info.folder)
    assert.deepEqual(valuesOf(journaled, 'loss'), [1, 2, 3])
    assert.deepEqual(journaled.params, { late: true })
    assert.equal(await run.finish(), before)
    await other.finish()
  })

  test('two runs of one thread, interleaved, keep apart', async (context) => {
    const one = newRun(context, { runId: 'one' })
    const two = newRun(context, { runId: 'two' })
    const bound = [one.metric('bound'), two.metric('bound')] as const
    for (let step = 0; step < ROWS; step++) {
      one.log({ row: step, only: 1 }, { step })
      two.log({ row: -step }, { step })
      bound[0].log(step, step / 7)
      bound[1].log(step, -step / 7)
    }
    const [first, second] = await Promise.all([one.finish(), two.finish()])
    assert.deepEqual([first!.accepted, second!.accepted], [3 * ROWS, 2 * ROWS])
    assertLaw(first!)
    assertLaw(second!)
    const steps = Array.from({ length: ROWS }, (_, i) => i)
    for (const [run, sign] of [
      [one, 1],
      [two, -1],
    ] as const) {
      const journaled = readJournal(run.info.folder)
      assert.deepEqual(
        valuesOf(journaled, 'row'),
        steps.map((step) => sign * step),
      )
      assert.deepEqual(
        valuesOf(journaled, 'bound'),
        steps.map((step) => (sign * step) / 7),
      )
    }
    assert.equal(readJournal(two.info.folder).points.has('only'), false)
  })

  test('a thread may join before the first point, after a flush, and again after one that ended', async (context) => {
    const run = newRun(context)
    const early = start({ handle: run.handle(), name: 'early', rows: 10 })
    const ended = once(early.worker, 'exit')
    assert.equal(await early.logged, 10)
    run.log({ main: 1 })
    await run.flush()
    await ended
    const late = start({ handle: run.handle(), name: 'late', rows: 10 })
    assert.equal(await late.logged, 10)
    await run.flush()
    const journaled = readJournal(run.info.folder)
    assertComplete(journaled, 'early', 10)
    assertComplete(journaled, 'late', 10)
    assert.deepEqual(valuesOf(journaled, 'main'), [1])
    assertLaw(await run.finish())
  })

  test('a handle is plain data: by workerData, by postMessage, by a copy; attaching twice is the same run', async (context) => {
    const run = newRun(context)
    const byMessage = start({ name: 'message', rows: 10 })
    byMessage.worker.postMessage(run.handle())
    const byData = start({ handle: structuredClone(run.handle()), name: 'data', rows: 10 })
    assert.deepEqual([await byMessage.logged, await byData.logged], [10, 10])
    const attached = attachRun(structuredClone(run.handle()))
    assert.equal(attachRun(run.handle()), attached)
    assert.equal(attached.id, run.id)
    attached.log({ attached: 1 })
    assert.equal(await attached.flush(), true)
    const journaled = readJournal(run.info.folder)
    assertComplete(journaled, 'message', 10)
    assertComplete(journaled, 'data', 10)
    assert.deepEqual(valuesOf(journaled, 'attached'), [1])
    assertLaw(await run.finish())
  })

  test('a run takes so many producers and refuses the next one in words', async (context) => {
    const run = newRun(context)
    const handle = run.handle()
    const next = new Int32Array(handle.counters, RUN.nextProducer * 8, 1)
    Atomics.store(next, 0, PRODUCERS - 1)
    const last = start({ handle, name: 'last', rows: 10 })
    assert.equal(await last.logged, 10)
    const refused = start({ handle, name: 'refused', rows: 10 })
    await assert.rejects(refused.logged, { code: 'ERR_HANDLE', message: /at most 128 producers/ })
    run.log({ main: 1 })
    const stats = await run.finish()
    assert.equal(stats.accepted, 31)
    assertLaw(stats)
    assertComplete(readJournal(run.info.folder), 'last', 10)
  })
}
