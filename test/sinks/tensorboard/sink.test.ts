import assert from 'node:assert/strict'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { RunInfo, Series, Sink, SinkState, WriteResult } from '../../../src/core/types.ts'
import { tensorboard } from '../../../src/sinks/tensorboard/sink.ts'
import { batchOf, type PlainPoint } from './batch.ts'
import { eventFilesOf, parseEventFile, readEvents } from './read-events.ts'

const never = new AbortController().signal
let root: string
let notices: string[]
let opened: Sink[]

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
  notices = []
  opened = []
})
afterEach(async () => {
  for (const sink of opened) await sink.close()
  rmSync(root, { recursive: true, force: true })
})

test('a run is one event file in its own folder, private to its user', async () => {
  const run = runIn('vision')
  const { sink } = await open(run, undefined)
  await sink.write(pointsAt(1), never)
  assert.match(eventFile(run), /^events\.out\.tfevents\.1700000000\.[\w.-]+\.tracelet\.20261123-run$/)
  assert.equal(statSync(join(run.folder, eventFile(run))).mode & 0o777, 0o600)
  assert.deepEqual(stepsIn(run), [1])
})

test('with logDir the file lies in a folder of the run there', async () => {
  const logDir = join(root, 'logs', 'deep')
  const { sink, url } = await open(runIn('vision'), undefined, { logDir })
  await sink.write(pointsAt(1), never)
  assert.equal(url, join(logDir, 'vision'))
  assert.equal(readEvents(join(logDir, 'vision')).length, 1)
})

test('whatever follows the committed length is cut off on opening, at every length of a torn tail', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  const committed = stateOf(await sink.write(pointsAt(1, 2), never))
  await sink.write(pointsAt(3, 4), never)
  const path = join(run.folder, eventFile(run))
  const whole = readFileSync(path)
  for (let length = committed.bytes; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    const again = await open(run, committed)
    assert.equal(statSync(path).size, committed.bytes)
    await again.sink.write(pointsAt(3, 4), never)
    await again.sink.close()
    assert.deepEqual(readFileSync(path), whole, `torn at ${length}`)
  }
  assert.deepEqual(notices, [])
})

test('a file that lost settled bytes keeps its whole records, says so and goes on', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  const lengths = [stateOf(await sink.write(pointsAt(1), never)).bytes]
  lengths.push(stateOf(await sink.write(pointsAt(2), never)).bytes)
  const state = stateOf(await sink.write(pointsAt(3), never))
  const path = join(run.folder, eventFile(run))
  const whole = readFileSync(path)
  for (let length = 0; length < state.bytes; length++) {
    notices = []
    writeFileSync(path, whole.subarray(0, length))
    const again = await open(run, state)
    await again.sink.write(pointsAt(4), never)
    await again.sink.close()
    const kept = lengths.filter((end) => end <= length).map((_, index) => index + 1)
    assert.deepEqual(stepsIn(run), [...kept, 4], `cut to ${length}`)
    assert.equal(notices.length, 1)
    assert.match(notices[0]!, /ERR_SERVER .* lost \d+ bytes/)
  }
})

test('settled bytes that vanish while the file is open are noticed by the next write', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  const first = stateOf(await sink.write(pointsAt(1), never))
  await sink.write(pointsAt(2), never)
  truncateSync(join(run.folder, eventFile(run)), first.bytes + 3)
  await sink.write(pointsAt(3), never)
  assert.deepEqual(stepsIn(run), [1, 3])
  assert.equal(notices.length, 1)
})

test('a file that was deleted blocks the run, while open and on opening', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  const state = stateOf(await sink.write(pointsAt(1), never))
  unlinkSync(join(run.folder, eventFile(run)))
  for (const answer of [await sink.write(pointsAt(2), never), await create(run).open(state, never)]) {
    assert.ok(answer.status === 'blocked')
    assert.equal(answer.scope, 'run')
    assert.equal(answer.code, 'ERR_REMOTE_RUN_GONE')
    assert.match(answer.reason, /was deleted/)
  }
  assert.deepEqual(eventFilesOf(run.folder), [])
})

test('a copied folder goes on in its copy', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  const state = stateOf(await sink.write(pointsAt(1), never))
  const copy = runIn('b')
  copyFileSync(join(run.folder, eventFile(run)), join(copy.folder, eventFile(run)))
  const again = await open(copy, state)
  await again.sink.write(pointsAt(2), never)
  assert.deepEqual(stepsIn(copy), [1, 2])
  assert.deepEqual(stepsIn(run), [1])
})

test('a file made by a process that died before its first commit is taken over and begun anew', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  await sink.write(pointsAt(1), never)
  const path = join(run.folder, eventFile(run))
  for (const length of [statSync(path).size, 30, 0]) {
    truncateSync(path, length)
    const again = await open(run, undefined)
    await again.sink.write(pointsAt(5), never)
    assert.deepEqual(eventFilesOf(run.folder).length, 1)
    assert.deepEqual(stepsIn(run), [5])
  }
})

test("another run's file of the same name is left alone", async () => {
  const logDir = join(root, 'logs')
  const mine = await open(runIn('same'), undefined, { logDir })
  await mine.sink.write(pointsAt(1), never)
  const other = await open({ ...runIn('same'), nonce: 'other-nonce' }, undefined, { logDir })
  await other.sink.write(pointsAt(2), never)
  await mine.sink.write(pointsAt(3), never)
  const steps = eventFilesOf(join(logDir, 'same')).map((name) =>
    parseEventFile(readFileSync(join(logDir, 'same', name))).map(({ step }) => Number(step)),
  )
  assert.deepEqual(steps.sort(), [[1, 3], [2]])
})

test('a place where no file can be made blocks the run with the reason', async () => {
  writeFileSync(join(root, 'file'), '')
  const answer = await create(runIn('a'), { logDir: join(root, 'file', 'logs') }).open(undefined, never)
  assert.ok(answer.status === 'blocked')
  assert.match(answer.reason, /ENOTDIR/)
})

test('records are in the text tab, the first parameters and the end in the table of hyperparameters', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  await sink.writeRecord({ kind: 'state', state: 'running', time: 1_700_000_000_000 }, 0, never)
  await sink.writeRecord({ kind: 'params', params: {} }, 1, never)
  const state = stateOf(
    await sink.writeRecord({ kind: 'params', params: { lr: Number.NaN, layers: null } }, 2, never),
  )
  await sink.writeRecord({ kind: 'tags', tags: { 'a|b': '**c**' } }, 3, never)
  const again = await open(run, stateOf(await sink.writeRecord({ kind: 'tags', tags: {} }, 4, never)))
  await again.sink.writeRecord({ kind: 'params', params: { more: 1 } }, 5, never)
  await again.sink.writeRecord({ kind: 'state', state: 'killed', time: 1_700_000_005_000 }, 6, never)
  assert.equal(state.hparams, true)
  assert.deepEqual(
    readEvents(run.folder).map(({ tag, step, texts }) => [tag, Number(step), ...texts!]),
    [
      ['tracelet/state', 0, 'running'],
      ['tracelet/params', 2, 'lr', 'NaN', 'layers', 'null'],
      ['_hparams_/session_start_info', 2],
      ['tracelet/tags', 3, 'a|b', '**c**'],
      ['tracelet/params', 5, 'more', '1'],
      ['tracelet/state', 6, 'killed'],
      ['_hparams_/session_end_info', 6],
    ],
  )
  assert.equal(notices.filter((notice) => notice.startsWith('ERR_MAPPED')).length, 1)
})

test('a write that is given up settles nothing, so that it may come again', async () => {
  const run = runIn('a')
  const { sink } = await open(run, undefined)
  // Whenever the abort falls: before the write begins, at each of its waits, or after it.
  for (let step = 0; step < 200; step++) {
    const controller = new AbortController()
    const answer = sink.write(pointsAt(step), controller.signal)
    for (let turn = 0; turn < step % 20; turn++) await Promise.resolve()
    if (step % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    const { status } = await answer
    if (status !== 'accepted') assert.equal((await sink.write(pointsAt(step), never)).status, 'accepted')
  }
  assert.deepEqual(
    stepsIn(run),
    Array.from({ length: 200 }, (_, step) => step),
  )
})

test('a finite value that becomes an infinity is said once', async () => {
  const { sink } = await open(runIn('a'), undefined)
  const points: PlainPoint[] = [{ name: 'loss', step: 1, time: 0, value: 1e300 }]
  await sink.write(batchOf(points), never)
  await sink.write(batchOf(points), never)
  assert.deepEqual(notices, [
    'ERR_MAPPED finite values beyond float32 (±3.4e38) are ±Infinity in TensorBoard',
  ])
})

function runIn(name: string): RunInfo {
  const folder = join(root, name)
  mkdirSync(folder, { recursive: true })
  return {
    id: '20261123-run',
    name: 'run',
    project: 'vision',
    experiment: 'resnet',
    createdAt: 1_700_000_000_250,
    nonce: 'nonce-of-the-run',
    folder,
  }
}

function create(run: RunInfo, options: { logDir: string | undefined } = { logDir: undefined }): Sink {
  const notice = (code: string, message: string) => notices.push(`${code} ${message}`)
  const sink = tensorboard.create({ run, options, notice })
  opened.push(sink)
  return sink
}

async function open(run: RunInfo, state: SinkState, options?: { logDir: string }) {
  const sink = create(run, options)
  const answer = await sink.open(state, never)
  assert.ok(answer.status === 'ready', JSON.stringify(answer))
  return { sink, url: answer.url }
}

const table: Series[] = []
function pointsAt(...steps: number[]) {
  return batchOf(
    steps.map((step) => ({ name: 'loss', step, time: 1_700_000_001_000 + step, value: step / 2 })),
    table,
  )
}

function stateOf(answer: WriteResult): { bytes: number; hparams: boolean } & Record<string, unknown> {
  assert.equal(answer.status, 'accepted')
  return (answer as { state?: unknown }).state as never
}

function eventFile(run: RunInfo): string {
  return eventFilesOf(run.folder)[0]!
}

function stepsIn(run: RunInfo): number[] {
  return readEvents(run.folder).map(({ step }) => Number(step))
}
