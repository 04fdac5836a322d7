import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { blobPath } from '../../../src/core/blob-path.ts'
import { resolveOptions } from '../../../src/core/options.ts'
import type { RunInfo, RunRecord, Sink, StoredFile, WriteResult } from '../../../src/core/types.ts'
import { mlflow } from '../../../src/sinks/mlflow/sink.ts'
import { FakeMlflow, type FakeRequest, type ServerFault } from './fake-server.ts'
import { batchOf, runInfo } from './points.ts'
import { filesOf, storeBlob, uploadRecord } from './run-blobs.ts'

const signal = new AbortController().signal
const PLACE = { step: 3, time: 1000.5 }
const MAX_ATTEMPTS = 10
const isPut = ({ method }: FakeRequest) => method === 'PUT'
const answer = (status: number, body = '', headers: Record<string, string> = {}): ServerFault => ({
  ...{ kind: 'answer', status, body, headers },
})

describe('uploads of the MLflow sink', () => {
  let fake: FakeMlflow
  let run: RunInfo
  let sinks: Sink[] = []
  let notices: string[] = []

  beforeEach(async () => {
    fake = await FakeMlflow.start()
    run = runInfo({ folder: mkdtempSync(join(tmpdir(), 'tracelet-mlflow-')) })
    notices = []
  })
  afterEach(async () => {
    for (const sink of sinks) await sink.close()
    sinks = []
    await fake.stop()
    rmSync(run.folder, { recursive: true, force: true })
    assert.equal(fake.store.silentLosses + fake.store.oversize + fake.oversizeBodies, 0)
  })

  async function opened(): Promise<Sink> {
    const options = mlflow.prepare!(resolveOptions(mlflow.options, { uri: fake.uri }, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: (code, text) => notices.push(`${code} ${text}`) })
    sinks.push(sink)
    assert.equal((await sink.open(undefined, signal)).status, 'ready')
    return sink
  }
  const blob = (text: string) => storeBlob(run.folder, text, 'text/plain')
  const only = () => [...fake.store.runs.values()][0]!
  const files = () => fake.artifacts.below(`1/${only().runId}/artifacts`)
  const artifactOf = (name: string, ...paths: string[]): RunRecord => ({
    ...{ kind: 'artifact', name, type: 'artifact', time: 1, bytes: 1 },
    files: paths.map((path) => ({ path, blob: blob(`of ${path}`) })),
  })
  const modelOf = (more: object = {}): Extract<RunRecord, { kind: 'model' }> => ({
    ...{ kind: 'model', name: 'net', time: 1, bytes: 1, register: 'digits', aliases: ['best'] },
    files: ['a', 'b/c', 'd'].map((path) => ({ path, blob: blob(`of ${path}`) })),
    ...more,
  })
  const last = (answers: readonly WriteResult[]) => answers.at(-1)!
  /** As the pipeline does: again and again, each time by a sink that knows nothing of the time before. */
  async function untilAccepted(record: RunRecord, seq: number, isNew: boolean): Promise<number> {
    let sink = await opened()
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const result = last(await uploadRecord(sink, run.folder, record, seq))
      if (result.status === 'accepted') return attempt
      assert.equal(result.status, 'retry', JSON.stringify(result))
      if (isNew) sink = await opened()
    }
    throw new Error(`not accepted in ${MAX_ATTEMPTS} attempts`)
  }

  it('makes one logged model and one version, whichever answer is lost or request is cut', async () => {
    const routes = [
      ...['logged-models/search', 'logged-models', 'runs/outputs', 'registered-models/create'],
      ...['model-versions/search', 'model-versions/create', 'registered-models/alias', 'PATCH', 'PUT'],
    ]
    let seq = 0
    for (const route of routes) {
      for (const kind of ['lostAnswer', 'cut'] as const) {
        for (const isNew of [false, true]) {
          fake.failNext({ kind }, (request) => request.route === route || request.method === route)
          const attempts = await untilAccepted(modelOf(), ++seq, isNew)
          assert.equal(attempts, 2, `${route} ${kind}`)
        }
      }
    }
    assert.equal(fake.artifacts.models.size, seq)
    assert.equal(fake.artifacts.versions.length, seq)
    assert.equal(fake.artifacts.outputs.size, seq)
    for (const { id, status } of fake.artifacts.models.values()) {
      assert.equal(status, 'LOGGED_MODEL_READY')
      const { MLmodel, ...own } = fake.artifacts.below(`1/models/${id}/artifacts`)
      assert.deepEqual(own, { a: 'of a', 'b/c': 'of b/c', d: 'of d' })
      assert.match(MLmodel!, new RegExp(`^model_id: "${id}"$`, 'm'))
    }
    assert.equal(fake.artifacts.aliases.get('digits@best'), String(seq))
  })

  it('keeps one of two when a create that was given up is carried out late', async () => {
    const sink = await opened()
    const late = { model: false, version: false }
    fake.failNext({ kind: 'cut' }, ({ route }) => route === 'logged-models')
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'retry')
    fake.failNext({ kind: 'cut' }, ({ route, body }) => {
      if (route === 'logged-models' && !late.model) fake.artifacts.createModel(body)
      late.model ||= route === 'logged-models'
      return false
    })
    fake.failNext({ kind: 'cut' }, ({ route }) => route === 'model-versions/create')
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'retry')
    fake.failNext({ kind: 'cut' }, ({ route, body }) => {
      if (route === 'model-versions/create' && !late.version) fake.artifacts.createVersion(body)
      late.version ||= route === 'model-versions/create'
      return false
    })
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'accepted')
    assert.deepEqual(late, { model: true, version: true })
    assert.deepEqual([fake.artifacts.models.size, fake.artifacts.versions.length], [1, 1])
    const [model] = fake.artifacts.models.values()
    assert.equal(fake.artifacts.versions[0]!.source, `models:/${model!.id}`)
    assert.equal(fake.artifacts.aliases.get('digits@best'), '1')
  })

  it('keeps one of two also when it cannot look after them at once', async () => {
    const sink = await opened()
    fake.failNext({ kind: 'cut' }, ({ route }) => route === 'logged-models')
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'retry')
    let isLate = false
    let searches = 0
    fake.failNext({ kind: 'cut' }, ({ route, body }) => {
      if (route === 'logged-models' && !isLate) fake.artifacts.createModel(body)
      isLate ||= route === 'logged-models'
      return route === 'logged-models/search' && ++searches === 2
    })
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'retry')
    assert.equal(fake.artifacts.models.size, 2)
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'accepted')
    const models = [...fake.artifacts.models.values()]
    assert.deepEqual(
      models.map(({ status }) => status),
      ['LOGGED_MODEL_READY'],
    )
  })

  it('makes one logged model for files that go out at once', async () => {
    const sink = await opened()
    const record = modelOf()
    const list = filesOf(record) as readonly Extract<StoredFile, { blob: unknown }>[]
    const results = await Promise.all(
      list.map(({ path, blob }, index) => {
        const file = { index, path, blob, location: blobPath(run.folder, blob.digest) }
        const upload = { seq: 1, record, file, files: list, state: undefined, keep() {}, sent() {} }
        return sink.upload!(upload, signal)
      }),
    )
    assert.deepEqual(
      results.map(({ status }) => status),
      ['accepted', 'accepted', 'accepted'],
    )
    assert.equal(fake.artifacts.models.size, 1)
  })

  it('keeps the MLmodel that a model brings, and marks one that lacks a file', async () => {
    const sink = await opened()
    const own = modelOf({ files: [{ path: 'MLmodel', blob: blob('flavors: {}') }] })
    await uploadRecord(sink, run.folder, own, 1)
    const [model] = fake.artifacts.models.values()
    assert.deepEqual(fake.artifacts.below(`1/models/${model!.id}/artifacts`), { MLmodel: 'flavors: {}' })
    fake.failNext(answer(413), isPut)
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 2)).status, 'split')
    const statuses = [...fake.artifacts.models.values()].map(({ status }) => status)
    assert.deepEqual(statuses, ['LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED'])
  })

  it('says of a server before MLflow 3 that it has no logged models', async () => {
    const sink = await opened()
    fake.failNext(
      answer(404, '<title>404 Not Found</title>'),
      ({ route }) => route === 'logged-models/search',
    )
    const result = last(await uploadRecord(sink, run.folder, modelOf(), 1))
    assert.ok(result.status === 'split' && result.code === 'ERR_UNSUPPORTED', JSON.stringify(result))
  })

  it('gives up no model because something before the server says for a while that nothing is there', async () => {
    const sink = await opened()
    const isApi = ({ route }: FakeRequest) => route === 'logged-models/search' || route === 'runs/get'
    for (let i = 0; i < 2; i++) fake.failNext(answer(404, 'default backend - 404'), isApi)
    const result = last(await uploadRecord(sink, run.folder, modelOf(), 1))
    assert.ok(result.status === 'blocked' && result.code === 'ERR_SERVER', JSON.stringify(result))
    assert.equal(last(await uploadRecord(sink, run.folder, modelOf(), 1)).status, 'accepted')
  })

  it('puts what it says of a model beside the files of the model, never over one', async () => {
    const files = [
      { path: 'tracelet.json', blob: blob('mine') },
      { path: 'far', uri: 's3://bucket/far', bytes: 7 },
    ]
    await uploadRecord(await opened(), run.folder, modelOf({ files }), 1)
    const [model] = fake.artifacts.models.values()
    const { MLmodel: _, ...stored } = fake.artifacts.below(`1/models/${model!.id}/artifacts`)
    assert.equal(stored['tracelet.json'], 'mine')
    const beside = Object.keys(stored).find((path) => /^tracelet-[0-9a-f]{16}\.json$/.test(path))
    assert.deepEqual(JSON.parse(stored[beside!]!), { references: [files[1]] })
  })

  it('waits for a target that is full or down, and gives up only what it will never take', async () => {
    const sink = await opened()
    const invalid = JSON.stringify({ error_code: 'INVALID_PARAMETER_VALUE', message: 'Invalid path' })
    const cases = [
      [answer(500, '<title>500</title>'), 'retry', /disk or quota of its artifact store full/],
      [answer(507, 'full'), 'retry', /507.*disk or quota/],
      [answer(503, '', { 'retry-after': '2' }), 'retry', /503/],
      [answer(429, ''), 'retry', /429/],
      [answer(200, '<h1>Sign in</h1>'), 'retry', /not MLflow's/],
      [{ kind: 'cut' } as const, 'retry', /does not answer/],
      [answer(413, ''), 'split', /no request of 4 bytes.*raise its limit/],
      [answer(400, invalid), 'split', /Invalid path/],
      [answer(503, 'disabled: run `mlflow server` with `--serve-artifacts`'), 'blocked', /--serve-artifacts/],
      [answer(401, ''), 'blocked', /401/],
    ] as const
    for (const [i, [fault, status, reason]] of cases.entries()) {
      fake.failNext(fault, isPut)
      const result = last(await uploadRecord(sink, run.folder, artifactOf(`f${i}`, 'a'), i))
      assert.ok(result.status === status && 'reason' in result, `${i}: ${JSON.stringify(result)}`)
      assert.match(result.reason, reason)
      assert.equal(last(await uploadRecord(sink, run.folder, artifactOf(`f${i}`, 'a'), i)).status, 'accepted')
    }
    assert.deepEqual(files(), Object.fromEntries(cases.map((_, i) => [`f${i}/a`, 'of a'])))
  })

  it('gives up a file whose place is taken by a folder, or below a file', async () => {
    const sink = await opened()
    await uploadRecord(sink, run.folder, artifactOf('x', 'deep/a'), 1)
    const below = last(await uploadRecord(sink, run.folder, artifactOf('x/deep/a', 'c'), 2))
    assert.ok(
      below.status === 'split' && /holds a file at 'x\/deep\/a'/.test(below.reason),
      JSON.stringify(below),
    )
    const above = last(await uploadRecord(sink, run.folder, artifactOf('x', 'deep'), 3))
    assert.ok(
      above.status === 'split' && /holds a folder at 'x\/deep'/.test(above.reason),
      JSON.stringify(above),
    )
  })

  it('replaces what is sent again, and tells how many bytes went out', async () => {
    const image = { image: storeBlob(run.folder, 'picture', 'image/jpeg'), width: 1, height: 1 }
    const records: RunRecord[] = [
      { kind: 'images', name: 'val', images: [image, image], ...PLACE },
      { kind: 'text', name: 't', text: blob('long'), ...PLACE },
      { kind: 'table', name: 'w', table: blob('{"columns":[],"data":[]}'), columns: 0, rows: 0, ...PLACE },
      artifactOf('data', 'a', 'b'),
    ]
    for (let i = 0; i < 2; i++) {
      const sink = await opened()
      for (const [seq, record] of records.entries()) {
        let sent = 0
        const answers = await uploadRecord(sink, run.folder, record, seq, {
          sent: (bytes) => (sent += bytes),
        })
        assert.equal(last(answers).status, 'accepted')
        const known = filesOf(record).reduce((sum, file) => sum + ('blob' in file ? file.blob.bytes : 0), 0)
        assert.equal(sent, known, record.kind)
      }
    }
    const stored = Object.keys(files())
    assert.equal(stored.length, 4 + 1 + 2 + 2)
    assert.ok([...fake.artifacts.puts.values()].every((count) => count === 2))
    assert.equal(
      stored.filter((path) => /^images\/val(~1)?\+step\+3\+timestamp\+1000\+/.test(path)).length,
      4,
    )
    assert.deepEqual(
      [only().tags.get('mlflow.loggedImages'), only().tags.get('mlflow.loggedArtifacts')],
      ['True', '[{"path":"tables/w.json","type":"table"}]'],
    )
  })

  it('adds tables to those that somebody else has listed, until the tag is full', async () => {
    const sink = await opened()
    const theirs = [{ path: 'eval.json', type: 'table' }]
    only().tags.set('mlflow.loggedArtifacts', JSON.stringify(theirs))
    const tableOf = (name: string): RunRecord => ({
      ...{ kind: 'table', name, table: blob('{}'), columns: 0, rows: 0 },
      ...PLACE,
    })
    for (let i = 0; i < 200; i++) {
      const answers = await uploadRecord(sink, run.folder, tableOf(`table ${i} ${'x'.repeat(60)}`), i)
      assert.equal(last(answers).status, 'accepted')
    }
    const listed = JSON.parse(only().tags.get('mlflow.loggedArtifacts')!) as { path: string }[]
    assert.deepEqual(listed[0], theirs[0])
    assert.ok(listed.length > 60 && listed.length < 200, `${listed.length}`)
    assert.equal(Object.keys(files()).length, 400)
    assert.deepEqual(
      notices.map((text) => text.slice(0, 33)),
      ['ERR_MAPPED MLflow lists no more t'],
    )
  })

  it('lets points through while every upload hangs', { timeout: 20_000 }, async () => {
    const sink = await opened()
    const abort = new AbortController()
    for (let i = 0; i < 4; i++) fake.failNext({ kind: 'hang' }, isPut)
    const hanging = [1, 2, 3, 4].map((seq) =>
      uploadRecord(sink, run.folder, artifactOf(`f${seq}`, 'a'), seq, { signal: abort.signal }),
    )
    const points = batchOf([{ name: 'loss', step: 1, time: 1, value: 1 }])
    assert.equal((await sink.write(points, signal)).status, 'accepted')
    abort.abort()
    for (const answers of await Promise.all(hanging)) assert.equal(last(answers).status, 'retry')
  })

  it('does not take a folder for the server’s because it has the same name here', async () => {
    fake.artifactRoot = join(run.folder, 'mlruns')
    mkdirSync(fake.artifactRoot)
    const sink = await opened()
    assert.equal(last(await uploadRecord(sink, run.folder, artifactOf('data', 'a'), 1)).status, 'accepted')
    assert.deepEqual(files(), { 'data/a': 'of a' })
    assert.deepEqual(readdirSync(fake.artifactRoot), [])
    const empty: RunRecord = { ...artifactOf('none'), files: [{ path: 'e', blob: blob('') }] } as RunRecord
    const refused = last(await uploadRecord(sink, run.folder, empty, 2))
    assert.ok(refused.status === 'split' && /mlflow server --serve-artifacts/.test(refused.reason))
  })

  it('has a place of its own for each step of names that look like another’s steps or files', async () => {
    const sink = await opened()
    const names = ['a', 'a/step_00000003', 'a/step_00000003.json', 'a.json']
    const table = (name: string): RunRecord => ({
      ...{ kind: 'table', name, table: blob(`{"columns":["${name}"],"data":[]}`), columns: 1, rows: 0 },
      ...PLACE,
    })
    const text = (name: string): RunRecord => ({ kind: 'text', name, text: name, ...PLACE })
    const records = [...names.map(table), ...['b', 'b/step_00000003.txt', 'b.json'].map(text)]
    for (const [seq, record] of records.entries()) {
      const answered = last(await uploadRecord(sink, run.folder, record, seq))
      assert.equal(answered.status, 'accepted', JSON.stringify([record, answered]))
    }
    const stored = files()
    assert.equal(Object.keys(stored).length, 2 * 4 + 3)
    assert.equal(stored['tables/a/step_00000003.json'], '{"columns":["a"],"data":[]}')
    assert.equal(stored['texts/b.json/step_00000003.txt'], 'b.json')
  })

  it('rejects nothing because a certificate file is not there for a while', async () => {
    const caFile = join(run.folder, 'ca.pem')
    writeFileSync(caFile, '')
    const given = { uri: fake.uri, caFile }
    const options = mlflow.prepare!(resolveOptions(mlflow.options, given, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: () => {} })
    sinks.push(sink)
    assert.equal((await sink.open(undefined, signal)).status, 'ready')
    rmSync(caFile)
    const result = last(await uploadRecord(sink, run.folder, artifactOf('data', 'a'), 1))
    assert.ok(result.status === 'blocked' && result.code === 'ERR_OPTION', JSON.stringify(result))
    writeFileSync(caFile, '')
    assert.equal(last(await uploadRecord(sink, run.folder, artifactOf('data', 'a'), 1)).status, 'accepted')
  })

  it('shows and keeps no password that stands in the address of a server’s own store', async () => {
    fake.artifactRoot = fake.artifacts.modelRoot = 'sftp://ann:hush@store/root'
    const sink = await opened()
    const empty = { ...artifactOf('none'), files: [{ path: 'e', blob: blob('') }] } as RunRecord
    const kept: unknown[] = []
    for (const record of [empty, modelOf()]) {
      const steps = { keep: (state: unknown) => kept.push(state) }
      const refused = last(await uploadRecord(sink, run.folder, record, 1, steps))
      assert.ok(
        refused.status === 'split' && /are at sftp:\/\/store\/root/.test(refused.reason),
        refused.status,
      )
      kept.push(refused)
    }
    assert.doesNotMatch(JSON.stringify(kept), /hush/)
  })

  it('keeps beside an artifact what MLflow has no place for', async () => {
    const sink = await opened()
    const references = [{ path: 'far', uri: 's3://bucket/far', bytes: 7 }]
    const odd = { path: 'a#b', blob: blob('odd') }
    const own = { type: 'dataset', time: 5, description: 'd', aliases: ['best'] }
    const about = { ...own, bytes: 3, metadata: '{"a":[1]}' }
    await uploadRecord(
      sink,
      run.folder,
      { kind: 'artifact', name: 'data', ...about, files: [odd, ...references] },
      1,
    )
    await uploadRecord(sink, run.folder, artifactOf('plain', 'a'), 2)
    const stored = files()
    const mapped = Object.keys(stored).find((path) => /^data\/a_b-[0-9a-f]{16}$/.test(path))!
    const { 'data.tracelet.json': beside, ...others } = stored
    assert.deepEqual(others, { [mapped]: 'odd', 'plain/a': 'of a' })
    const expected = { name: 'data', ...own, metadata: { a: [1] } }
    assert.deepEqual(JSON.parse(beside!), { ...expected, references, paths: { [mapped]: 'a#b' } })
  })

  it('holds files of the run at their own paths, the later in place of the earlier', async () => {
    const sink = await opened()
    const filesOf = (...paths: readonly (readonly [path: string, content: string])[]): RunRecord => ({
      ...{ kind: 'files', time: 1, bytes: 1 },
      files: paths.map(([path, content]) => ({ path, blob: blob(content) })),
    })
    const odd = ['images/a', 'x.tracelet.json', '50%#.csv'] as const
    const answers = [
      await uploadRecord(sink, run.folder, filesOf(['log.txt', '1'], ['deep/er/größe 漢.yaml', 'a: 1']), 1),
      await uploadRecord(sink, run.folder, filesOf(['log.txt', '2']), 2),
      await uploadRecord(sink, run.folder, filesOf(...odd.map((path) => [path, path] as const)), 3),
    ]
    assert.ok(answers.flat().every(({ status }) => status === 'accepted'))
    const { 'run-files-3.tracelet.json': beside, ...stored } = files()
    const { 'log.txt': log, 'deep/er/größe 漢.yaml': deep, ...mapped } = stored
    assert.deepEqual([log, deep], ['2', 'a: 1'])
    assert.deepEqual(Object.values(mapped).sort(), [...odd].sort())
    assert.deepEqual(JSON.parse(beside!), { paths: mapped })
    assert.ok(odd.every((path) => !(path in mapped)))
    assert.deepEqual(notices, [
      "ERR_MAPPED MLflow has no such path as some of the run's files: see 'run-files-3.tracelet.json'",
    ])
  })

  it('cuts notes that MLflow would cut in silence, and sends a dataset once', async () => {
    const sink = await opened()
    const notes = 'ü'.repeat(9000)
    assert.equal((await sink.writeRecord({ kind: 'notes', notes }, 1, signal)).status, 'accepted')
    assert.equal(only().tags.get('mlflow.note.content'), notes.slice(0, 8000))
    assert.match(notices[0]!, /8000 characters of a run's notes/)
    const dataset = { kind: 'dataset', name: 'm', digest: 'd', source: 's', sourceType: 'local' } as const
    for (let i = 0; i < 2; i++) assert.equal((await sink.writeRecord(dataset, 2, signal)).status, 'accepted')
    assert.equal(fake.artifacts.inputs.size, 1)
    const refused = await sink.writeRecord({ ...dataset, digest: 'd'.repeat(40) }, 3, signal)
    assert.equal(refused.status, 'split')
    const large = { ...dataset, digest: 'e', schema: `"${'x'.repeat(1_100_000)}"` }
    assert.equal((await sink.writeRecord(large, 4, signal)).status, 'accepted')
    assert.match(notices[1]!, /schema of a dataset/)
    const again = { ...dataset, context: 'validation' }
    for (let i = 0; i < 2; i++) assert.equal((await sink.writeRecord(again, 5, signal)).status, 'accepted')
    assert.deepEqual(notices.slice(2), ["ERR_MAPPED MLflow holds one context of a dataset: 'm' stays ''"])
  })
})
