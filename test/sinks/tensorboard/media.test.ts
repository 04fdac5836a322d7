import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { blobPath } from '../../../src/core/blob-path.ts'
import { PLOTLY_TYPE } from '../../../src/core/media-types.ts'
import type {
  BlobRef,
  RunInfo,
  RunRecord,
  Series,
  Sink,
  SinkState,
  WriteResult,
} from '../../../src/core/types.ts'
import { tensorboard } from '../../../src/sinks/tensorboard/sink.ts'
import { batchOf } from './batch.ts'
import { eventFilesOf, readEvents } from './read-events.ts'

const never = new AbortController().signal
const TIME = 1_700_000_001_000
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

test('what a record keeps in blobs stands in its event', async () => {
  const run = runIn('a')
  const sink = await open(run)
  const place = { step: 3, time: TIME }
  const table = blobOf(run, JSON.stringify({ columns: ['a'], data: [[1], ['*']] }))
  const image = { image: blobOf(run, 'PNG 1'), width: 1, height: 1 }
  await accepted(sink, { ...place, kind: 'text', name: 'short', text: '' })
  await accepted(sink, { ...place, kind: 'text', name: 'long', text: blobOf(run, 'ä'.repeat(5000)) })
  await accepted(sink, { ...place, kind: 'table', name: 'table', table, columns: 1, rows: 2 })
  await accepted(sink, { ...place, kind: 'images', name: 'one', images: [image] })
  const two = [image, { ...image, image: blobOf(run, '') }]
  await accepted(sink, { ...place, kind: 'images', name: 'two', images: two })
  await accepted(sink, { ...place, kind: 'figure', name: 'drawn', figure: blobOf(run, 'PNG 2', 'image/png') })
  const values = readEvents(run.folder)
  assert.ok(values.every(({ step, wallSeconds }) => step === 3n && wallSeconds === TIME / 1000))
  assert.deepEqual(
    values.map(({ tag, texts, image }) => [tag, ...(texts ?? [String(image)])]),
    [
      ['short', ''],
      ['long', 'ä'.repeat(5000)],
      ['table', '| a |\n| --- |\n| 1 |\n| \\* |'],
      ['one', 'PNG 1'],
      ['two', '1', '1', 'PNG 1', ''],
      ['drawn', 'PNG 2'],
    ],
  )
  assert.deepEqual(notices, [])
})

test('what TensorBoard shows less of is said once', async () => {
  const run = runIn('a')
  const sink = await open(run)
  const cells = { columns: ['a'], data: Array.from({ length: 101 }, () => [1]) }
  const records: RunRecord[] = [
    { kind: 'figure', figure: blobOf(run, '{"data":[]}', PLOTLY_TYPE), name: 'plot', step: 0, time: TIME },
    { kind: 'text', text: blobOf(run, '精'.repeat(100_000)), name: 'long', step: 0, time: TIME },
    {
      kind: 'table',
      table: blobOf(run, JSON.stringify(cells)),
      columns: 1,
      rows: 101,
      name: 'rows',
      step: 0,
      time: TIME,
    },
    {
      kind: 'images',
      images: [{ image: blobOf(run, 'PNG'), width: 1, height: 1, caption: 'seven' }],
      name: 'image',
      step: 0,
      time: TIME,
    },
  ]
  for (const record of [...records, ...records]) await accepted(sink, record)
  const [plot, long] = readEvents(run.folder)
  assert.match(
    plot!.texts![0]!,
    /cannot draw: `blobs\/[0-9a-f]{2}\/[0-9a-f]{64}` in the run's folder, 11 bytes/,
  )
  assert.equal(
    long!.texts![0],
    `${'精'.repeat(Math.floor((64 * 1024) / 3))}\n\n… the run's folder holds the whole text.`,
  )
  assert.deepEqual(
    notices.map((notice) => /^ERR_MAPPED .*(Plotly|64 KiB|100 rows|captions)/.exec(notice)?.[1]),
    ['Plotly', '64 KiB', '100 rows', 'captions'],
  )
})

test('a name that two kinds share has a tag for each, also after a restart', async () => {
  const run = runIn('a')
  const sink = await open(run)
  const text = (step: number): RunRecord => ({ kind: 'text', name: 'loss', text: 't', step, time: TIME })
  await sink.write(pointAt(1), never)
  const state = await accepted(sink, text(1))
  const again = await open(run, state)
  await accepted(again, text(2))
  await again.write(pointAt(2), never)
  assert.deepEqual(
    readEvents(run.folder).map(({ tag }) => tag),
    ['loss', 'loss [%text]', 'loss [%text]', 'loss'],
  )
  assert.match(notices.join(), /^ERR_MAPPED .*'loss' was logged as two kinds.*'loss \[%text\]'$/)
})

test('a blob that is missing or damaged is rejected and harms nothing else', async () => {
  const damages: Record<string, (path: string) => void> = {
    missing: (path) => rmSync(path),
    shorter: (path) => truncateSync(path, 3),
    longer: (path) => writeFileSync(path, 'content and more'),
    changed: (path) => writeFileSync(path, 'CONTENT'),
    folder: (path) => {
      rmSync(path)
      mkdirSync(path)
    },
    link: (path) => {
      rmSync(path)
      writeFileSync(join(root, 'elsewhere'), 'content')
      symlinkSync(join(root, 'elsewhere'), path)
    },
    'no digest': () => {},
  }
  for (const [name, damage] of Object.entries(damages)) {
    const run = runIn(`run ${name}`)
    const sink = await open(run)
    await sink.write(pointAt(1), never)
    const whole = readFileSync(eventFile(run))
    const blob = blobOf(run, 'content')
    damage(blobPath(run.folder, blob.digest))
    const bad = name === 'no digest' ? { ...blob, digest: '../../../../etc/passwd' } : blob
    const records: RunRecord[] = [
      { kind: 'text', name: 'a', step: 0, time: TIME, text: bad },
      { kind: 'table', name: 'a', step: 0, time: TIME, table: bad, columns: 1, rows: 1 },
      { kind: 'figure', name: 'a', step: 0, time: TIME, figure: { ...bad, type: 'image/png' } },
      { kind: 'figure', name: 'a', step: 0, time: TIME, figure: { ...bad, type: PLOTLY_TYPE } },
      { kind: 'images', name: 'a', step: 0, time: TIME, images: [{ image: bad, width: 1, height: 1 }] },
    ]
    for (const record of records) {
      const answer = await sink.writeRecord(record, 1, never)
      const rejections =
        answer.status === 'split' ? [answer] : answer.status === 'partial' ? answer.rejected : []
      assert.deepEqual(
        rejections.map(({ code }) => code),
        ['ERR_BLOB'],
        `${name} ${record.kind}`,
      )
    }
    assert.deepEqual(readFileSync(eventFile(run)), whole, name)
    const images = ['first', bad, 'third'].map((image) => ({
      image: typeof image === 'string' ? blobOf(run, image) : image,
      width: 1,
      height: 1,
    }))
    const answer = await sink.writeRecord(
      { kind: 'images', name: 'b', step: 0, time: TIME, images },
      2,
      never,
    )
    assert.ok(answer.status === 'partial')
    assert.deepEqual(
      answer.rejected.map(({ index }) => index),
      [1],
    )
    await sink.write(pointAt(2), never)
    const values = readEvents(run.folder)
    assert.deepEqual(
      values.map(({ tag }) => tag),
      ['loss', 'b', 'loss'],
    )
    assert.deepEqual(values[1]!.texts, ['1', '1', 'first', 'third'])
  }
})

test('a large image passes through a little memory', async () => {
  const run = runIn('a')
  const sink = await open(run)
  const bytes = Buffer.alloc(96 * 2 ** 20, 'pixels')
  const image = blobOf(run, bytes)
  bytes.fill(0)
  await accepted(sink, { kind: 'text', name: 'warm', text: blobOf(run, 'up'), step: 0, time: TIME })
  const before = process.memoryUsage()
  let peak = 0
  const timer = setInterval(() => {
    const { arrayBuffers, external } = process.memoryUsage()
    peak = Math.max(peak, arrayBuffers - before.arrayBuffers, external - before.external)
  }, 1)
  const images = [{ image, width: 1, height: 1 }]
  await accepted(sink, { kind: 'images', name: 'large', step: 0, time: TIME, images })
  clearInterval(timer)
  assert.ok(peak > 0 && peak < 16 * 2 ** 20, `${peak} bytes`)
  assert.equal(readEvents(run.folder).at(-1)!.image!.length, image.bytes)
})

test('a process killed in the middle of a large image leaves nothing that the next one does not cut off', async () => {
  const run = runIn('a')
  const sink = await open(run)
  const state = stateOf(await sink.write(pointAt(1), never))
  await sink.close()
  const settled = readFileSync(eventFile(run))
  const image = { image: blobOf(run, Buffer.alloc(64 * 2 ** 20, 'pixels')), width: 1, height: 1 }
  const record: RunRecord = { kind: 'images', name: 'large', step: 2, time: TIME, images: [image] }
  for (const megabytes of [0, 5, 40]) {
    const child = writer(run, state, record)
    await until(() => statSync(eventFile(run)).size > settled.length + megabytes * 2 ** 20)
    child.kill('SIGKILL')
    const [code] = await once(child, 'exit')
    assert.equal(code, null, 'it was done before it was killed')
    assert.ok(statSync(eventFile(run)).size > settled.length)
    const again = await open(run, state)
    assert.deepEqual(readFileSync(eventFile(run)), settled)
    await again.close()
  }
  const last = await open(run, state)
  await accepted(last, record)
  await last.write(pointAt(3), never)
  assert.deepEqual(
    readEvents(run.folder).map(({ tag, step }) => [tag, Number(step)]),
    [
      ['loss', 1],
      ['large', 2],
      ['loss', 3],
    ],
  )
})

test('an image that nobody waits for any more stops being written', async () => {
  const run = runIn('a')
  const sink = await open(run)
  await sink.write(pointAt(1), never)
  const settled = readFileSync(eventFile(run))
  const image = { image: blobOf(run, Buffer.alloc(64 * 2 ** 20, 'pixels')), width: 1, height: 1 }
  const record: RunRecord = { kind: 'images', name: 'large', step: 2, time: TIME, images: [image] }
  const controller = new AbortController()
  const answer = sink.writeRecord(record, 1, controller.signal)
  await until(() => statSync(eventFile(run)).size > settled.length)
  controller.abort()
  assert.equal((await answer).status, 'retry')
  await accepted(sink, { kind: 'text', name: 'next', text: 'next', step: 1, time: TIME })
  assert.ok(statSync(eventFile(run)).size < settled.length + 1000)
  await accepted(sink, record)
  assert.deepEqual(
    readEvents(run.folder).map(({ tag }) => tag),
    ['loss', 'next', 'large'],
  )
})

/** Another process that opens the run and writes the record. */
function writer(run: RunInfo, state: SinkState, record: RunRecord): ChildProcess {
  const sinkUrl = new URL('../../../src/sinks/tensorboard/sink.js', import.meta.url)
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  const program = `
    import { tensorboard } from ${JSON.stringify(String(sinkUrl).replace(/\\.js$/, ending))}
    const [run, state, record] = JSON.parse(process.argv[1])
    const signal = new AbortController().signal
    const sink = tensorboard.create({ run, options: { logDir: undefined }, notice: () => {} })
    await sink.open(state, signal)
    await sink.writeRecord(record, 1, signal)
  `
  return spawn(
    process.execPath,
    ['--input-type=module', '--eval', program, '--', JSON.stringify([run, state, record])],
    { stdio: ['ignore', 'ignore', 'inherit'], cwd: dirname(fileURLToPath(import.meta.url)) },
  )
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(1)
}

function runIn(name: string): RunInfo {
  const folder = join(root, name)
  mkdirSync(folder, { recursive: true })
  return {
    id: name,
    name,
    project: 'vision',
    experiment: 'resnet',
    createdAt: 1_700_000_000_250,
    nonce: 'nonce-of-the-run',
    folder,
  }
}

async function open(run: RunInfo, state?: SinkState): Promise<Sink> {
  const notice = (code: string, message: string) => notices.push(`${code} ${message}`)
  const sink = tensorboard.create({ run, options: { logDir: undefined }, notice })
  opened.push(sink)
  const answer = await sink.open(state, never)
  assert.ok(answer.status === 'ready', JSON.stringify(answer))
  return sink
}

async function accepted(sink: Sink, record: RunRecord): Promise<SinkState> {
  return stateOf(await sink.writeRecord(record, 1, never))
}

function stateOf(answer: WriteResult): SinkState {
  assert.ok(answer.status === 'accepted', JSON.stringify(answer))
  return answer.state
}

function blobOf(run: RunInfo, content: string | Uint8Array, type = 'text/plain'): BlobRef {
  const bytes = Buffer.from(content as string)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const path = blobPath(run.folder, digest)
  mkdirSync(dirname(path), { recursive: true })
  if (!existsSync(path)) writeFileSync(path, bytes)
  return { digest, bytes: bytes.length, type }
}

const table: Series[] = []
function pointAt(step: number) {
  return batchOf([{ name: 'loss', step, time: TIME, value: 0.5 }], table)
}

function eventFile(run: RunInfo): string {
  return join(run.folder, eventFilesOf(run.folder)[0]!)
}
