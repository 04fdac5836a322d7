/** What TensorBoard's own readers find in the event files: every scalar, and a row per run in the HParams table. */
import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RunInfo, RunRecord, Series, Sink, SinkState } from '../../src/core/types.ts'
import { tensorboard } from '../../src/sinks/tensorboard/sink.ts'
import { tagOf } from '../../src/sinks/tensorboard/tag.ts'
import { batchOf, type PlainPoint } from '../sinks/tensorboard/batch.ts'
import { peerPython, runPeerScript } from './python.ts'

type Datum = readonly [step: number, wallSeconds: number, float32: string]
interface Seen {
  readonly runs: Readonly<
    Record<
      string,
      {
        /** As EventAccumulator reads them. */
        readonly classic: Readonly<Record<string, readonly Datum[]>>
        /** As the pages of TensorBoard read them. */
        readonly provider: Readonly<Record<string, readonly Datum[]>>
        readonly text: Readonly<Record<string, readonly string[]>>
      }
    >
  >
  readonly experiment: {
    readonly hparamInfos: readonly { readonly name: string; readonly type: string }[]
    readonly metricInfos: readonly { readonly name: { readonly tag: string } }[]
  }
  readonly sessionGroups: {
    readonly sessionGroups: readonly {
      readonly name: string
      readonly hparams: Readonly<Record<string, unknown>>
      readonly sessions: readonly { readonly status: string; readonly endTimeSecs: number }[]
    }[]
  }
}

const never = new AbortController().signal
const CREATED_AT = 1_764_000_000_123

test('TensorBoard reads every value, step, time and tag that was written, also after a torn end', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const logDir = folderOf(context)
  const seed = Date.now() % 2 ** 32
  context.diagnostic(`seed ${seed}`)
  const random = randomBits(seed)
  const names = [
    'loss',
    'train/acc',
    '精度 🎯',
    'loss [val]',
    '_hparams_/session_start_info',
    '__proto__',
    ' ',
  ]
  const special = [Number.NaN, Infinity, -Infinity, -0, 0, 1e300, -1e300, 1e-45, 5e-324, 3.4028235e38]
  const points: PlainPoint[] = []
  for (let index = 0; index < 10_000; index++) {
    points.push({
      name: names[random() % names.length]!,
      context: ['', '', 'val', '[%'][random() % 4]!,
      step: index % 10 === 0 ? oddStep(random()) : Math.floor(index / 5),
      time: CREATED_AT + Math.floor(index / 20) * 17,
      value: index < special.length ? special[index]! : randomDouble(random),
    })
  }

  const series: Series[] = []
  const { run, sink, file } = await openRun(logDir, 'scalars', undefined)
  let state: SinkState
  for (let from = 0; from < 6000; from += 1500) {
    state = await accepted(sink.write(batchOf(points.slice(from, from + 1500), series, from), never))
  }
  await sink.close()
  appendFileSync(join(logDir, run.id, file), Buffer.alloc(77, 0xaa))
  const again = await openRun(logDir, 'scalars', state)
  await accepted(again.sink.write(batchOf(points.slice(6000), series, 6000), never))
  await again.sink.close()

  const seen = (await runPeerScript(python, 'read_tensorboard.py', [logDir])) as Seen
  const expected = new Map<string, Datum[]>()
  for (const { name, context: text = '', step, time, value } of points) {
    const tag = tagOf(name, text)
    expected.set(tag, [...(expected.get(tag) ?? []), [step, time / 1000, float32Of(Math.fround(value))]])
  }
  for (const reader of ['classic', 'provider'] as const) {
    const found = new Map(Object.entries(seen.runs.scalars![reader]))
    assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort())
    for (const [tag, data] of expected) assert.deepEqual(found.get(tag), data, `${reader}: ${tag}`)
  }
})

test('parameters and the end of each run are a row of the HParams table, with its scalars as metrics', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const logDir = folderOf(context)
  const runs = [
    {
      id: 'first',
      params: { lr: 0.1, model: 'a|b', adam: true, odd: Number.NaN, none: null },
      end: 'finished',
    },
    { id: 'second', params: { lr: 1e-3, model: 'résnet', adam: false }, end: 'failed' },
  ] as const
  for (const { id, params, end } of runs) {
    const { sink } = await openRun(logDir, id, undefined)
    const records: RunRecord[] = [
      { kind: 'state', state: 'running', time: CREATED_AT },
      { kind: 'params', params },
      { kind: 'params', params: { later: 1 } },
      { kind: 'tags', tags: { 'git|branch': '<main>' } },
      { kind: 'state', state: end, time: CREATED_AT + 5000 },
    ]
    await accepted(sink.write(batchOf([{ name: 'loss', step: 1, time: CREATED_AT, value: 0.5 }]), never))
    for (const [seq, record] of records.entries()) await accepted(sink.writeRecord(record, seq, never))
    await sink.close()
  }

  const seen = (await runPeerScript(python, 'read_tensorboard.py', [logDir])) as Seen
  const types = Object.fromEntries(seen.experiment.hparamInfos.map(({ name, type }) => [name, type]))
  assert.deepEqual(types, {
    lr: 'DATA_TYPE_FLOAT64',
    model: 'DATA_TYPE_STRING',
    adam: 'DATA_TYPE_BOOL',
    odd: 'DATA_TYPE_STRING',
    none: 'DATA_TYPE_STRING',
  })
  assert.deepEqual(
    seen.experiment.metricInfos.map(({ name }) => name.tag),
    ['loss'],
  )
  const rows = Object.fromEntries(seen.sessionGroups.sessionGroups.map((group) => [group.name, group]))
  assert.deepEqual(rows.first!.hparams, { lr: 0.1, model: 'a|b', adam: true, odd: 'NaN', none: 'null' })
  assert.deepEqual(rows.second!.hparams, { lr: 1e-3, model: 'résnet', adam: false })
  assert.equal(rows.first!.sessions[0]!.status, 'STATUS_SUCCESS')
  assert.equal(rows.second!.sessions[0]!.status, 'STATUS_FAILURE')
  assert.equal(rows.first!.sessions[0]!.endTimeSecs, (CREATED_AT + 5000) / 1000)
  const { text } = seen.runs.first!
  assert.deepEqual(text['tracelet/state'], ['running', 'finished'])
  assert.match(text['tracelet/params']![1]!, /<td>later<\/td>\s*<td>1<\/td>/)
  assert.match(text['tracelet/tags']![0]!, /<td>git\|branch<\/td>\s*<td>&lt;main&gt;<\/td>/)
})

function folderOf(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function openRun(logDir: string, id: string, state: SinkState) {
  const run: RunInfo = {
    id,
    name: id,
    project: 'vision',
    experiment: 'resnet',
    createdAt: CREATED_AT,
    nonce: `nonce-${id}`,
    folder: join(logDir, id),
  }
  const sink: Sink = tensorboard.create({ run, options: { logDir }, notice: () => {} })
  const answer = await sink.open(state, never)
  assert.ok(answer.status === 'ready')
  return { run, sink, file: answer.state!.file as string }
}

async function accepted(answer: ReturnType<Sink['write']>): Promise<SinkState> {
  const result = await answer
  assert.ok(result.status === 'accepted', JSON.stringify(result))
  return result.state
}

/** Any step that a point may have: negative, repeated, up to 2^53 − 1. */
function oddStep(bits: number): number {
  const magnitude = [0, 1, 300, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1][bits % 6]!
  return bits & 0x100 ? -magnitude || 0 : magnitude
}

function randomDouble(random: () => number): number {
  // Half of all doubles are beyond float32; most here should not be.
  if (random() % 4 > 0) return (random() / 2 ** 31 - 1) * 10 ** ((random() % 60) - 30)
  const bits = new DataView(new ArrayBuffer(8))
  bits.setUint32(0, random())
  bits.setUint32(4, random())
  const value = bits.getFloat64(0)
  return Number.isNaN(value) ? Number.NaN : value
}

function float32Of(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatBE(value)
  return bytes.toString('hex')
}

/** xorshift: 32 random bits a call. */
function randomBits(seed: number): () => number {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}
