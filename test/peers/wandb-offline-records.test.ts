/** What stands in the file of an offline run, read by the messages of the wandb SDK. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeBlob } from '../sinks/blobs.ts'
import { CREATED, OfflineBench } from '../sinks/wandb/offline/bench.ts'
import { PEERS_FOLDER, peerPython } from './python.ts'

type Read = Readonly<Record<string, unknown>> & { readonly num: string }

test('every record is, byte by byte, what the SDK would have written of it', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const bench = new OfflineBench(context, { entity: 'team', tags: ['one'] })
  await bench.open()
  const blob = writeBlob(bench.run.folder, 'bytes')
  const time = CREATED + 30
  await bench.rows([0, { loss: 1 }])
  await bench.accepted(
    { kind: 'params', params: { lr: 0.1, 'opt.name': 'größe', inf: Infinity } },
    { kind: 'metric', name: 'val.*', axis: 'epoch', summary: ['min'], goal: 'minimize' },
    { kind: 'tags', tags: { two: '' } },
    { kind: 'notes', notes: 'some' },
    { kind: 'console', stream: 'stdout', text: 'said', time },
    { kind: 'text', name: 'long', step: 3, time, text: 'é'.repeat(30_000) },
    { kind: 'alert', title: 'T', text: 'body', level: 'error', time, waitMs: 0 },
    { kind: 'artifact', name: 'data', type: 'dataset', time, files: [{ path: 'a', blob }], bytes: 5 },
    { kind: 'files', time, files: [{ path: 'b', blob }], bytes: 5 },
  )
  const rows = Array.from(
    { length: 2_000 },
    (_, step) => [step + 10, { loss: 1 / step, 'system/cpu': step }] as const,
  )
  await bench.rows(...rows)
  await bench.accepted({ kind: 'state', state: 'failed', time: CREATED + 5_000 })
  const script = join(PEERS_FOLDER, 'decode_wandb.py')
  const text = execFileSync(python, [script, bench.path], { encoding: 'utf8', maxBuffer: 1 << 28 })
  const records = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Read)
  assert.deepEqual(
    records.map(({ num }) => Number(num)),
    records.map((_, at) => at + 1),
  )
  const of = (kind: string) => records.filter((record) => kind in record).map((record) => record[kind])
  assert.equal(of('history').length, 2_002)
  assert.equal(of('stats').length, 2_000)
  assert.deepEqual(of('history')[2], {
    item: [
      { key: '_step', value_json: '10' },
      { key: 'loss', value_json: 'Infinity' },
      { key: '_timestamp', value_json: '1700000000.223' },
      { key: '_runtime', value_json: '0.1' },
      { key: 'global_step', value_json: '10' },
    ],
    step: { num: '10' },
  })
  assert.deepEqual(of('stats')[7], {
    timestamp: '2023-11-14T22:13:20.293Z',
    item: [{ key: 'cpu', value_json: '7' }],
  })
  assert.deepEqual(of('config'), [
    {
      update: [
        { key: 'lr', value_json: '0.1' },
        { key: 'opt', value_json: '{"name":"größe"}' },
        { key: 'inf', value_json: 'Infinity' },
      ],
    },
  ])
  assert.deepEqual(of('metric').at(-1), {
    glob_name: 'val\\.*',
    step_metric: 'epoch',
    options: { step_sync: true },
    summary: { min: true },
    goal: 'GOAL_MINIMIZE',
  })
  assert.deepEqual(of('alert'), [{ title: 'T', text: 'body', level: 'ERROR' }])
  assert.deepEqual(of('output_raw'), [
    { output_type: 'STDOUT', timestamp: '2023-11-14T22:13:20.153Z', line: 'said\n' },
  ])
  assert.deepEqual(of('files'), [{ files: [{ path: 'b' }] }])
  assert.deepEqual(of('exit'), [{ exit_code: 1, runtime: 5 }])
  const [artifact] = of('artifact') as Read[]
  assert.deepEqual([artifact!.name, artifact!.finalize, artifact!.entity], ['data', true, 'team'])
})
