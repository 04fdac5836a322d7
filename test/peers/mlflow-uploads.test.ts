import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { PLOTLY_TYPE } from '../../src/core/media-types.ts'
import { resolveOptions } from '../../src/core/options.ts'
import type { RunInfo, RunRecord, Sink } from '../../src/core/types.ts'
import { mlflow } from '../../src/sinks/mlflow/sink.ts'
import { runInfo } from '../sinks/mlflow/points.ts'
import { storeBlob, uploadRecord } from '../sinks/mlflow/run-blobs.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { parseImagePath, readUploads, sha256 } from './read-mlflow-uploads.ts'

const signal = new AbortController().signal
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const PLACE = { step: 3, time: 1795420526750.5 }
const HOSTILE = [
  'a.txt',
  '.hidden',
  'ü 漢😀.txt',
  'x#?%41.csv',
  '100% sure',
  '..a/b..c/..d',
  `${'n'.repeat(300)}.bin`,
  'c:\\d',
  ' lead/trail ',
  'tab\tx',
  "it's",
  'a&b=c+d;e',
  'x-0123456789abcdef.txt',
  'empty',
]

describe('what a run holds besides points, in a real MLflow server', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-uploads-'))
  const servers = new Map<string, MlflowServer>()
  const sinks: Sink[] = []
  const notices: string[] = []

  after(async () => {
    for (const sink of sinks) await sink.close()
    for (const server of servers.values()) await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  async function prepare(test: TestContext, ...args: string[]) {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    const key = args.join(' ')
    let server = servers.get(key)
    if (server === undefined) servers.set(key, (server = await startMlflowServer(python, { args })))
    return { python, uri: server.uri }
  }
  function newRun(more: Partial<RunInfo> = {}): RunInfo {
    return runInfo({ folder: mkdtempSync(join(dir, 'run-')), ...more })
  }
  async function opened(uri: string, run: RunInfo): Promise<Sink> {
    const options = mlflow.prepare!(resolveOptions(mlflow.options, { uri }, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: (_code, text) => notices.push(text) })
    sinks.push(sink)
    assert.equal((await sink.open(undefined, signal)).status, 'ready')
    return sink
  }
  /** Sends a record twice: the second time as after a crash that left no state. */
  async function sendTwice(sink: Sink, run: RunInfo, record: RunRecord, seq: number) {
    for (let i = 0; i < 2; i++) {
      const answers = await uploadRecord(sink, run.folder, record, seq)
      assert.ok(
        answers.every(({ status }) => status === 'accepted'),
        `${record.kind}: ${JSON.stringify(answers.find(({ status }) => status !== 'accepted'))}`,
      )
    }
  }
  const blobOf = (run: RunInfo, bytes: Uint8Array | string, type = '') => storeBlob(run.folder, bytes, type)

  it('holds notes, datasets, user and program, each once however often they are sent', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = newRun({ user: 'änn', program: 'src/train.ts' })
    const sink = await opened(peers.uri, run)
    const dataset = {
      ...({
        kind: 'dataset',
        name: 'mnist',
        digest: 'd1',
        source: '{"uri":"x"}',
        sourceType: 'local',
      } as const),
      ...{ schema: '{"a":1}', profile: '{"rows":2}', context: 'training' },
    }
    const records: RunRecord[] = [
      { kind: 'notes', notes: 'first' },
      { kind: 'notes', notes: '# digits ü\n\n**bold**' },
      dataset,
      { ...dataset, digest: 'd2', context: 'validation' },
    ]
    for (const record of [...records, ...records]) {
      assert.deepEqual(await sink.writeRecord(record, 0, signal), { status: 'accepted' }, record.kind)
    }
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    assert.equal(seen.tags['mlflow.note.content'], '# digits ü\n\n**bold**')
    assert.equal(seen.tags['mlflow.user'], 'änn')
    assert.equal(seen.tags['mlflow.source.name'], 'src/train.ts')
    assert.equal(seen.tags['mlflow.source.type'], 'LOCAL')
    const { kind: _kind, context, ...rest } = dataset
    const expected = [
      { ...rest, tags: { 'mlflow.data.context': context } },
      { ...rest, digest: 'd2', tags: { 'mlflow.data.context': 'validation' } },
    ]
    const byDigest = (list: readonly object[]) =>
      [...list].sort((a, b) => ((a as { digest: string }).digest < (b as { digest: string }).digest ? -1 : 1))
    assert.deepEqual(byDigest(seen.datasets), expected)
  })

  it('shows texts, charts, figures, images and tables where its own client and page look', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const image = { image: blobOf(run, PNG, 'image/png'), width: 1, height: 1 }
    const table = { columns: ['n', 'text'], data: [[1, 'x'] as unknown[], [2.5, 'ü "漢"']] }
    const tableOf = (content: object) => blobOf(run, JSON.stringify(content), 'application/json')
    const plotly = { data: [{ y: [1, 2], text: '</script><b>' }], layout: { title: { text: 'ü' } } }
    const figure = blobOf(run, JSON.stringify(plotly), PLOTLY_TYPE)
    const numbers = (...values: number[]) => Float64Array.from(values)
    const records: RunRecord[] = [
      { kind: 'text', name: 'log', text: 'héllo', ...PLACE },
      { kind: 'text', name: 'long', text: blobOf(run, 'long text', 'text/plain'), ...PLACE },
      { kind: 'histogram', name: 'w/conv', edges: numbers(0, 1, 2), counts: numbers(3, 5), ...PLACE },
      {
        ...{ kind: 'prCurve', name: 'pr', ...PLACE },
        ...{ truePositives: numbers(3, 2), falsePositives: numbers(1, 0) },
        ...{ trueNegatives: numbers(0, 1), falseNegatives: numbers(0, 1) },
      },
      { kind: 'images', name: 'val/conf', images: [image, image], ...PLACE },
      { kind: 'images', name: 'odd+%~#', images: [image], ...PLACE },
      {
        kind: 'table',
        name: 'worst',
        table: tableOf({ columns: ['n'], data: [] }),
        columns: 1,
        rows: 0,
        ...PLACE,
      },
      { kind: 'table', name: 'worst', table: tableOf(table), columns: 2, rows: 2, ...PLACE, step: 12 },
      { kind: 'table', name: 'other', table: tableOf(table), columns: 2, rows: 2, ...PLACE },
      { kind: 'figure', name: 'fig', figure, ...PLACE },
      { kind: 'figure', name: 'pic', figure: image.image, ...PLACE },
    ]
    for (const [seq, record] of records.entries()) await sendTwice(sink, run, record, seq)
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    const { artifacts, tags } = seen
    assert.equal(artifacts['texts/log/step_00000003.txt'], sha256('héllo'))
    assert.equal(artifacts['texts/long/step_00000003.txt'], sha256('long text'))
    assert.equal(artifacts['figures/pic/step_00000003.png'], sha256(PNG))
    for (const page of ['histograms/w/conv', 'pr_curves/pr', 'figures/fig']) {
      assert.ok(artifacts[`${page}/step_00000003.html`], page)
    }
    assert.deepEqual(seen.tables, { 'tables/worst.json': table, 'tables/other.json': table })
    assert.equal(artifacts['tables/worst/step_00000012.json'], sha256(JSON.stringify(table)))
    assert.ok(artifacts['tables/worst/step_00000003.json'])
    assert.equal(tags['mlflow.loggedImages'], 'True')
    const paths = Object.keys(artifacts).filter((path) => path.startsWith('images/'))
    const images = paths.map((path) => {
      assert.equal(artifacts[path], sha256(PNG))
      return parseImagePath(path)!
    })
    assert.ok(images.every((found) => found?.step === 3 && found.time === 1795420526750))
    assert.equal(images.length, 6)
    assert.equal(new Set(images.map(({ uuid }) => uuid)).size, 3)
    for (const key of ['val/conf', 'val/conf/1']) {
      const files = images.filter((found) => found.key === key)
      assert.deepEqual(files.map(({ compressed, ending }) => `${compressed} ${ending}`).sort(), [
        'false png',
        'true webp',
      ])
    }
    const odd = images.find(({ key }) => key.startsWith('odd'))!
    assert.match(odd.key, /^odd____-[0-9a-f]{16}$/)
    const remembered = Object.entries(tags).filter(([key]) => key.startsWith('tracelet.path.'))
    assert.deepEqual(
      remembered.map(([, value]) => JSON.parse(value)),
      [['odd+%~#', `images/${odd.key}`]],
    )
  })

  it('holds artifacts byte by byte, whatever their files are called', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const content = (path: string) => (path === 'empty' ? '' : `of ${path}`)
    const files = [
      ...HOSTILE.map((path) => ({ path, blob: blobOf(run, content(path)) })),
      { path: 'elsewhere', uri: 's3://bucket/key', bytes: 5 },
    ]
    const about = { type: 'dataset', description: 'odd', metadata: '{"a":1}', time: 5, bytes: 3 }
    await sendTwice(sink, run, { kind: 'artifact', name: 'data', ...about, files }, 0)
    const one = [{ path: 'one.bin', blob: blobOf(run, 'one') }]
    for (const [i, name] of ['one.bin', 'deep/one.bin', 'renamed', 'images', 'wéird#'].entries()) {
      await sendTwice(
        sink,
        run,
        { kind: 'artifact', name, type: 'artifact', time: 5, bytes: 3, files: one },
        1 + i,
      )
    }
    const ofRun = ['logs/größe 漢.txt', 'images/own.bin'].map((path) => ({ path, blob: blobOf(run, path) }))
    await sendTwice(sink, run, { kind: 'files', time: 5, bytes: 3, files: ofRun }, 6)
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    const { artifacts } = seen
    assert.equal(artifacts['logs/größe 漢.txt'], sha256('logs/größe 漢.txt'))
    assert.ok(artifacts['run-files-6.tracelet.json'])
    for (const path of ['one.bin', 'deep/one.bin', 'renamed/one.bin'])
      assert.equal(artifacts[path], sha256('one'))
    assert.ok(!Object.keys(artifacts).some((path) => path.startsWith('images/')))
    assert.ok(Object.keys(artifacts).some((path) => /^images-[0-9a-f]{16}\/one\.bin$/.test(path)))
    assert.ok(Object.keys(artifacts).some((path) => /^wéird_-[0-9a-f]{16}\/one\.bin$/.test(path)))
    const stored = Object.entries(artifacts).filter(([path]) => path.startsWith('data/'))
    assert.equal(stored.length, HOSTILE.length)
    assert.deepEqual(
      stored.map(([, digest]) => digest).sort(),
      HOSTILE.map((path) => sha256(content(path))).sort(),
    )
    for (const kept of ['a.txt', '.hidden', 'ü 漢😀.txt', '..a/b..c/..d', "it's", 'empty']) {
      assert.equal(artifacts[`data/${kept}`], sha256(content(kept)), kept)
    }
    assert.ok(artifacts['data.tracelet.json'])
  })

  it('holds a model, READY, an output of its run, and one version with its aliases', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const files = ['config.json', 'weights/ü.bin'].map((path) => ({ path, blob: blobOf(run, `of ${path}`) }))
    const model = { kind: 'model', time: 1795420526750, bytes: 3, files } as const
    const registered = {
      ...{ ...model, name: 'net.onnx', step: 7, register: `digits "ü"`, aliases: ['champion', 'x-1'] },
      ...{ description: 'a model', metadata: '{"acc":0.9}' },
    }
    await sendTwice(sink, run, registered, 0)
    await sendTwice(sink, run, { ...model, name: 'plain' }, 1)
    await sendTwice(sink, run, { ...registered, aliases: ['champion'] }, 2)
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    assert.equal(seen.models.length, 3)
    const byUpload = new Map(seen.models.map((found) => [found.tags['tracelet.upload'], found]))
    const first = byUpload.get(`${run.nonce}-0`)!
    assert.equal(byUpload.get(`${run.nonce}-1`)!.name, 'plain')
    assert.equal(first.tags['tracelet.name'], 'net.onnx')
    for (const { status, files: found, runId } of seen.models) {
      assert.equal(status, 'READY')
      assert.equal(runId, seen.runId)
      for (const { path } of files) assert.equal(found[path], sha256(`of ${path}`))
    }
    assert.deepEqual(first.metadata, { acc: 0.9 })
    const steps = new Map(seen.outputs.map(({ modelId, step }) => [modelId, step]))
    assert.equal(seen.outputs.length, 3)
    assert.equal(steps.get(first.id), 7)
    const versions = [...seen.versions].sort((a, b) => Number(a.version) - Number(b.version))
    assert.deepEqual(
      versions.map(({ name, version, source, aliases }) => [name, version, source, aliases]),
      [
        ['digits "ü"', '1', `models:/${first.id}`, ['x-1']],
        ['digits "ü"', '2', `models:/${byUpload.get(`${run.nonce}-2`)!.id}`, ['champion']],
      ],
    )
    assert.equal(versions[0]!.description, 'a model')
    for (const [change, pattern] of [
      [{ register: 'a/b' }, /cannot contain/],
      [{ register: 'good', aliases: ['v1'] }, /reserved/],
    ] as const) {
      const answers = await uploadRecord(sink, run.folder, { ...registered, ...change }, 9)
      const last = answers.at(-1)!
      assert.ok(last.status === 'split' && pattern.test(last.reason), JSON.stringify(last))
    }
  })

  it('says that a file stands where a folder must be, and goes on', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const artifact = (name: string, path: string): RunRecord => {
      const files = [{ path, blob: blobOf(run, name) }]
      return { kind: 'artifact', name, type: 'artifact', time: 5, bytes: 3, files }
    }
    await sendTwice(sink, run, artifact('a', 'a'), 0)
    const [answer] = await uploadRecord(sink, run.folder, artifact('a/b', 'c'), 1)
    assert.ok(
      answer!.status === 'split' && /holds a file at 'a'/.test(answer!.reason),
      JSON.stringify(answer),
    )
    await sendTwice(sink, run, artifact('b', 'c'), 2)
  })

  it('writes to the folder of a server that serves no artifacts and is on this machine', async (test) => {
    const root = mkdtempSync(join(dir, 'store-'))
    const peers = await prepare(test, '--no-serve-artifacts', '--default-artifact-root', root)
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const files = [
      { path: 'big', blob: blobOf(run, Buffer.alloc(11 * 1024 * 1024, 7)) },
      { path: 'ü/b', blob: blobOf(run, 'b') },
    ]
    const about = { type: 'artifact', time: 5, bytes: 3, files }
    await sendTwice(sink, run, { kind: 'artifact', name: 'data', ...about }, 0)
    await sendTwice(sink, run, { kind: 'model', name: 'net', time: 5, bytes: 3, files, register: 'local' }, 1)
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    const expected = { 'data/big': sha256(Buffer.alloc(11 * 1024 * 1024, 7)), 'data/ü/b': sha256('b') }
    assert.deepEqual(seen.artifacts, expected)
    assert.equal(seen.models[0]!.status, 'READY')
    assert.equal(seen.models[0]!.files['ü/b'], sha256('b'))
    assert.equal(seen.versions.length, 1)
    const left = readdirSync(root, { recursive: true }).map(String)
    assert.ok(!left.some((path) => path.includes('.tracelet-')), `${left}`)
  })

  it('goes by the server itself where its folder is not this machine’s, and says what is too large', async (test) => {
    // A folder that is not here when the sink looks, as on another machine; the server makes it later.
    const root = mkdtempSync(join(dir, 'store-'))
    const peers = await prepare(test, '--no-serve-artifacts', '--default-artifact-root', join(root, 'absent'))
    if (!peers) return
    const run = newRun()
    const sink = await opened(peers.uri, run)
    const small = { path: 'small', blob: blobOf(run, 'small') }
    const large = { path: 'large', blob: blobOf(run, Buffer.alloc(11 * 1024 * 1024)) }
    const about = { type: 'artifact', time: 5, bytes: 3 }
    await sendTwice(sink, run, { kind: 'artifact', name: 'data', ...about, files: [small] }, 0)
    const seen = await readUploads(peers.python, peers.uri, 'resnet', 'tracelet.nonce', run.nonce)
    assert.deepEqual(seen.artifacts, { 'data/small': sha256('small') })
    for (const record of [
      { kind: 'artifact', name: 'data', ...about, files: [large] },
      { kind: 'model', name: 'net', ...about, files: [small] },
    ] as const) {
      const [answer] = await uploadRecord(sink, run.folder, record, 1)
      assert.ok(
        answer!.status === 'split' && /mlflow server --serve-artifacts/.test(answer!.reason),
        record.kind,
      )
    }
  })
})
