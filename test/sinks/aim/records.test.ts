import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { RunInfo, RunRecord, Sink, SinkState } from '../../../src/core/types.ts'
import { shownLines } from '../../../src/sinks/aim/console.ts'
import { contextOf } from '../../../src/sinks/aim/contexts.ts'
import { AIM_OPTIONS, prepareOptions, runHashOf } from '../../../src/sinks/aim/options.ts'
import { aim } from '../../../src/sinks/aim/sink.ts'
import { systemSeries } from '../../../src/sinks/aim/system-names.ts'
import type { AimBlob, AimCustom, AimTree } from '../../../src/sinks/aim/tree.ts'
import { FakeAim } from './fake-server.ts'
import { treeCall } from './fake-store.ts'

const RUN: RunInfo = {
  ...{ id: 'r', name: 'r', project: 'p', experiment: 'e', createdAt: 0, nonce: 'n', folder: '/nowhere' },
}
const signal = () => AbortSignal.timeout(10_000)
type Members = Readonly<Record<string, AimTree>>

async function scene(context: TestContext) {
  const fake = new FakeAim()
  const options = prepareOptions(resolveOptions(AIM_OPTIONS, { repo: await fake.listen() }, {}, 'aim'))
  const hash = runHashOf(options, RUN)
  const sinks: Sink[] = []
  context.after(async () => {
    for (const sink of sinks) await sink.close()
    assert.deepEqual(fake.problems, [])
    await fake.stop()
  })
  const read = (place: 'meta' | 'seqs', ...path: string[]) =>
    treeCall(fake.runs.get(hash)![place], 'collect', [[place, 'chunks', hash, ...path]])
  return {
    fake,
    hash,
    /** By the run of that id; all of them at the one remote run. */
    open: async (id = 'r', state?: SinkState) => {
      for (const sink of sinks) await sink.close()
      const sink = aim.create({
        run: { ...RUN, id },
        options: { ...options, runHash: hash },
        notice: () => {},
      })
      sinks.push(sink)
      const opened = await sink.open(state, signal())
      assert.equal(opened.status, 'ready')
      return sink
    },
    attributes: () => {
      const { tracelet: _, ...others } = read('meta', 'attrs') as Members
      return others
    },
    objects: (name: string) =>
      Object.values(read('seqs', String(contextOf('').hash), name, 'val') as Members) as AimCustom[],
  }
}

async function write(sink: Sink, ...records: RunRecord[]): Promise<SinkState> {
  let state: SinkState
  for (const record of records) {
    const result = await sink.writeRecord(record, 0, signal())
    assert.equal(result.status, 'accepted')
    if (result.status === 'accepted') state = result.state ?? state
  }
  return state
}

const params = (given: Extract<RunRecord, { kind: 'params' }>['params']): RunRecord => ({
  kind: 'params',
  params: given,
})
const DATASET: RunRecord = { kind: 'dataset', name: 'mnist', digest: 'd', source: 's', sourceType: 'local' }

test('params under the names of what is ours stand beside it, whichever came first', async (context) => {
  const { open, attributes } = await scene(context)
  const sink = await open()
  const before = params({ tags: 1, datasets: 2, inputs: 3, artifacts: 4, tracelet: 5 })
  await write(
    sink,
    before,
    { kind: 'tags', tags: { team: 'vision' } },
    DATASET,
    { kind: 'input', artifact: 'a:v1', type: 'model', time: 0 },
    params({ 'tags.team': 'of a param', 'datasets.mnist': 6 }),
  )
  assert.deepEqual(attributes(), {
    'tags (value)': 1n,
    'datasets (value)': 2n,
    'inputs (value)': 3n,
    'artifacts (value)': 4n,
    'tracelet (value)': 5n,
    tags: { team: 'vision' },
    datasets: { mnist: { digest: 'd', source: 's', sourceType: 'local' } },
    inputs: { 'a:v1': 'model' },
    'tags.team': 'of a param',
    'datasets.mnist': 6n,
  })
})

test('a value and members of one name in one record have a place each, in either order', async (context) => {
  const { open, attributes } = await scene(context)
  const sink = await open()
  await write(sink, params({ a: 1, 'a.b': 2, 'c.d': 3, c: 4 }))
  assert.deepEqual(attributes(), { a: 1n, 'a.b': 2n, c: { d: 3n }, 'c (value)': 4n })
})

test("where another client has a value, our tags and datasets do not make the run's attributes unreadable", async (context) => {
  const { fake, hash, open, attributes } = await scene(context)
  const sink = await open()
  for (const name of ['tags', 'datasets'])
    treeCall(fake.runs.get(hash)!.meta, '__setitem__', [['meta', 'chunks', hash, 'attrs', name], 'theirs'])
  await sink.close()
  await write(await open(), { kind: 'tags', tags: { team: 'vision' } }, DATASET)
  assert.deepEqual(attributes(), {
    tags: 'theirs',
    datasets: 'theirs',
    'tags.team': 'vision',
    'datasets.mnist.digest': 'd',
    'datasets.mnist.source': 's',
    'datasets.mnist.sourceType': 'local',
  })
})

test('a word that two tags have in common goes with the last of them', async (context) => {
  const { fake, hash, open } = await scene(context)
  const words = () => [...fake.runs.get(hash)!.tags].sort()
  const sink = await open()
  await write(sink, { kind: 'tags', tags: { a: 'b', 'a:b': '' } }, { kind: 'tags', tags: { a: 'c' } })
  assert.deepEqual(words(), ['a:b', 'a:c'])
  await write(sink, { kind: 'tags', tags: { 'a:b': 'd' } })
  assert.deepEqual(words(), ['a:b:d', 'a:c'])
})

test('lines and alerts follow those of another client, and take the same places when they come again', async (context) => {
  const { open, objects } = await scene(context)
  const line = (text: string): RunRecord => ({ kind: 'console', stream: 'stdout', text, time: 0 })
  const alert = (title: string): RunRecord => ({ kind: 'alert', title, text: '', level: 'warn', time: 0 })
  await write(await open('theirs'), line('theirs 0\ntheirs 1'), alert('theirs'))
  const sink = await open('ours')
  const state = await write(sink, line('ours 0'), alert('ours'))
  // killed before the state of the next two was kept
  await write(sink, line('ours 1'), alert('ours again'))
  await write(await open('ours', state), line('ours 1'), alert('ours again'))
  const lines = objects('logs').map(({ members }) => (members.data as AimBlob).data)
  assert.deepEqual(lines, ['theirs 0', 'theirs 1', 'ours 0', 'ours 1'])
  const alerts = objects('__log_records').map(({ members }) => members.message)
  assert.deepEqual(alerts, ['theirs', 'ours', 'ours again'])
})

test("an alert is a log record of Python's level, and a check-in that Aim's watcher waits for", async (context) => {
  const { fake, hash, open, objects } = await scene(context)
  const sink = await open()
  const alert = { kind: 'alert', title: 'loss is NaN', text: 'since step 5', time: 1500 } as const
  await write(sink, { ...alert, level: 'error' }, { ...alert, level: 'info', text: '' })
  const [error, info] = objects('__log_records')
  assert.equal(error!.type, 'aim.log_record')
  assert.deepEqual(error!.members, {
    message: 'loss is NaN: since step 5',
    log_level: 40n,
    timestamp: 1.5,
    __logger_info: ['loss is NaN', 0n],
  })
  const { message, log_level: level } = info!.members
  assert.deepEqual([message, level], ['loss is NaN', 20n])
  assert.deepEqual(
    [...fake.runs.get(hash)!.checkIns].map((name) => name.slice(hash.length)),
    ['-0000000000000001-new_logs-00000001.50-00000', '-0000000000000002-new_logs-00000001.50-00000'],
  )
})

test('of a line that was drawn over the last is kept, with its colours', () => {
  const text = 'plain\r\n 10%\r 50%\r100%\n\u001b[31mred\u001b[0m\n\u001b[2Aup\n'
  assert.deepEqual(shownLines(text), ['plain', '100%', '\u001b[31mred\u001b[0m', 'up', ''])
})

test("system metrics have the names that Aim's pages know, a GPU its context", () => {
  const named = (name: string, context = '') => Object.values(systemSeries({ name, context })).join(' | ')
  assert.deepEqual(
    [
      ...[
        'loss',
        'system/',
        'system/cpu',
        'system/memory',
        'system/proc.memory.percent',
        'system/disk./.usagePercent',
      ].map((name) => named(name)),
      ...['gpu', 'memoryAllocated', 'temp', 'powerWatts'].map((what) => named(`system/gpu.1.${what}`)),
      named('system/gpu.1.other'),
      named('system/gpu.0.temp', 'rank=2'),
      named('system/gpu.0.temp', 'left'),
      named('system/net.sent', 'left'),
    ],
    [
      'loss | ',
      'system/ | ',
      '__system__cpu | ',
      '__system__memory_percent | ',
      '__system__p_memory_percent | ',
      '__system__disk_percent | ',
      '__system__gpu | gpu=1',
      '__system__gpu_memory_percent | gpu=1',
      '__system__gpu_temp | gpu=1',
      '__system__gpu_power_watts | gpu=1',
      '__system__gpu.1.other | ',
      '__system__gpu_temp | gpu=0, rank=2',
      '__system__gpu_temp | gpu=0, subset=left',
      '__system__net.sent | left',
    ],
  )
})
