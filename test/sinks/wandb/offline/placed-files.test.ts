import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { blobPath } from '../../../../src/core/blob-path.ts'
import type { RunRecord } from '../../../../src/core/types.ts'
import { manifestOf } from '../../../../src/sinks/wandb/uploads/artifact-plan.ts'
import { writeBlob, writeFileList } from '../../blobs.ts'
import { CREATED, OfflineBench } from './bench.ts'
import { itemsOf, type Message, messagesOf, numberOf, textOf, textsOf } from './read-log.ts'

const TIME = CREATED + 50

function pathsOf(bench: OfflineBench): string[] {
  return bench.of('files').flatMap(({ message }) => messagesOf(message, 1).map((one) => textOf(one, 1)!))
}

function entriesOf(artifact: Message): Message[] {
  return messagesOf(messagesOf(artifact, 12)[0]!, 4)
}

describe('files of an offline run', () => {
  test('lie below its directory as hard links, named by a record; W&B has its own names for itself', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const [first, second] = ['first', 'second'].map((text) => writeBlob(bench.run.folder, text))
    const of = (...files: { path: string; blob: typeof first }[]) =>
      ({ kind: 'files', time: TIME, bytes: 1, files: files as never }) as RunRecord
    await bench.accepted(of({ path: 'a b/c.txt', blob: first! }, { path: 'config.yaml', blob: first! }))
    const files = join(dirname(bench.path), 'files')
    assert.deepEqual(pathsOf(bench), ['a b/c.txt', 'config_.yaml'])
    assert.equal(readFileSync(join(files, 'a b/c.txt'), 'utf8'), 'first')
    assert.equal(
      statSync(join(files, 'a b/c.txt')).ino,
      statSync(blobPath(bench.run.folder, first!.digest)).ino,
    )
    // a later one takes its place, and the same again changes nothing
    await bench.accepted(of({ path: 'a b/c.txt', blob: second! }), of({ path: 'a b/c.txt', blob: second! }))
    assert.equal(readFileSync(join(files, 'a b/c.txt'), 'utf8'), 'second')
    assert.equal(readFileSync(join(files, 'config_.yaml'), 'utf8'), 'first')
    const many = Array.from({ length: 300 }, (_, at) => ({ path: `many/${at}`, blob: first! }))
    const list = writeFileList(bench.run.folder, many)
    await bench.accepted({ kind: 'files', time: TIME, bytes: 1, files: list })
    assert.equal(readdirSync(join(files, 'many')).length, 300)
  })

  test('what cannot be there is rejected, and costs nothing else', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const blob = writeBlob(bench.run.folder, 'bytes')
    const lost = { ...writeBlob(bench.run.folder, 'lost'), bytes: 4 }
    rmSync(blobPath(bench.run.folder, lost.digest))
    const linked = writeBlob(bench.run.folder, 'linked')
    rmSync(blobPath(bench.run.folder, linked.digest))
    // as long as the bytes should be
    symlinkSync('/etc/x', blobPath(bench.run.folder, linked.digest))
    await bench.accepted({ kind: 'files', time: TIME, bytes: 5, files: [{ path: 'there', blob }] })
    for (const file of [
      { path: 'lost', blob: lost },
      { path: 'linked', blob: linked },
      { path: '../../outside', blob },
      { path: 'there/below', blob },
      { path: 'n'.repeat(300), blob },
    ]) {
      const answer = await bench.record({ kind: 'files', time: TIME, bytes: 5, files: [file] })
      assert.equal(answer.status, 'partial', file.path)
    }
    assert.deepEqual(pathsOf(bench), ['there'])
    assert.deepEqual(readdirSync(join(dirname(bench.path), 'files')), ['there'])
    assert.ok(!existsSync(join(bench.dir, 'wandb', 'outside')))
  })

  test('an image, a figure and a table are files that the row names', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const image = writeBlob(bench.run.folder, 'no real image', 'image/png')
    const figure = writeBlob(bench.run.folder, '{"data":[],"layout":{}}', 'application/vnd.plotly.v1+json')
    const table = writeBlob(bench.run.folder, '{"columns":["a"],"data":[[1],[2]]}', 'application/json')
    const at = { step: 4, time: TIME }
    await bench.accepted(
      { kind: 'images', name: 'img', ...at, images: [{ image, width: 2, height: 3 }] },
      { kind: 'figure', name: 'fig', ...at, figure },
      { kind: 'table', name: 'tab', ...at, table, columns: 1, rows: 2 },
    )
    await bench.rows([4, { loss: 1 }])
    const row = bench.read[0]! as Record<string, { readonly path: string; readonly sha256: string }>
    const directory = dirname(bench.path)
    for (const key of ['img', 'fig', 'tab']) {
      const bytes = readFileSync(join(directory, 'files', row[key]!.path))
      assert.equal(createHash('sha256').update(bytes).digest('hex'), row[key]!.sha256, key)
    }
    assert.deepEqual(pathsOf(bench), [row.img!.path, row.fig!.path, row.tab!.path])
    const [artifact] = bench.of('artifact')
    assert.deepEqual(
      [textOf(artifact!.message, 4), textOf(artifact!.message, 5)],
      ['run_table', 'run-run1-tab'],
    )
    const [entry] = entriesOf(artifact!.message)
    const whole = JSON.parse(readFileSync(textOf(entry!, 6)!, 'utf8')) as { readonly data: unknown }
    assert.deepEqual(whole.data, [[1], [2]])
    assert.ok(
      JSON.stringify(row.tab).includes(textOf(artifact!.message, 15)!),
      'the row leads to the artifact',
    )
  })
})

describe('artifacts of an offline run', () => {
  test('name files that are nobody else’s: sync may remove them', async (context) => {
    const bench = new OfflineBench(context, { entity: 'team' })
    await bench.open()
    const blob = writeBlob(bench.run.folder, 'the same bytes')
    const md5 = createHash('md5').update('the same bytes').digest('base64')
    const files = [
      { path: 'a/1', blob },
      { path: 'b', blob },
      { path: 'far', uri: 's3://bucket/key', bytes: 5, digest: 'etag' },
    ]
    const record: RunRecord = {
      ...({ kind: 'artifact' } as const),
      ...{ name: 'data', type: 'dataset', time: TIME, files, bytes: 28 },
      ...{ aliases: ['best', 'latest', 'not/this'], description: 'd', metadata: '{"k":1}' },
    }
    const answer = await bench.record(record, 5)
    assert.deepEqual(answer.status === 'partial' && answer.rejected.map(({ index }) => index), [2])
    const { message } = bench.of('artifact')[0]!
    assert.deepEqual(
      [1, 2, 3, 4, 5, 7, 8, 20].map((field) => textOf(message, field)),
      ['run1', 'lab', 'team', 'dataset', 'data', 'd', '{"k":1}', 'MANIFEST_MD5'],
    )
    assert.deepEqual(textsOf(message, 11), ['latest', 'best'])
    assert.equal(numberOf(message, 14), 1)
    const plan = {
      files: files.map((file) =>
        'uri' in file ? { ...file, ref: file.uri } : { path: file.path, bytes: 14, location: '' },
      ),
    }
    const { digest } = manifestOf(
      plan,
      new Map([
        ['a/1', md5],
        ['b', md5],
      ]),
    )
    assert.equal(textOf(message, 6), digest)
    const entries = entriesOf(message)
    assert.deepEqual(
      entries.map((entry) => [textOf(entry, 1), textOf(entry, 2), textOf(entry, 3), numberOf(entry, 4)]),
      [
        ['a/1', md5, undefined, 14],
        ['b', md5, undefined, 14],
        ['far', 'etag', 's3://bucket/key', 5],
      ],
    )
    const [one, two, none] = entries.map((entry) => textOf(entry, 6))
    assert.equal(none, undefined)
    for (const path of [one!, two!]) assert.equal(readFileSync(path, 'utf8'), 'the same bytes')
    for (const path of [one!, two!]) rmSync(path)
    assert.notEqual(one, two)
    assert.equal(readFileSync(blobPath(bench.run.folder, blob.digest), 'utf8'), 'the same bytes')
  })

  test('come to the same when they come again, and to other versions of one collection when logged again', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const blob = writeBlob(bench.run.folder, 'weights')
    const record: RunRecord = {
      ...{ kind: 'model', name: 'net', time: TIME, files: [{ path: 'w', blob }], bytes: 7 },
      ...{ register: 'prod', aliases: ['champion'] },
    }
    const before = bench.state
    await bench.record(record, 3)
    const first = readFileSync(bench.path)
    await bench.open(before)
    await bench.record(record, 3)
    assert.ok(readFileSync(bench.path).equals(first))
    await bench.record(record, 4)
    const [one, two] = bench.of('artifact').map(({ message }) => message)
    assert.equal(textOf(one!, 16), textOf(two!, 16))
    assert.notEqual(textOf(one!, 15), textOf(two!, 15))
    assert.equal(textOf(one!, 4), 'model')
    const told = bench.notices.filter((notice) => notice.includes('registry'))
    assert.equal(told.length, 2, 'once for each process')
    assert.ok(lstatSync(textOf(entriesOf(two!)[0]!, 6)!).isFile())
  })
})

test('what a process could not write is not taken for written', async (context) => {
  const bench = new OfflineBench(context)
  await bench.open()
  const record: RunRecord = { kind: 'params', params: { lr: 1 } }
  const given = await bench.sink.writeRecord(record, 0, AbortSignal.abort())
  assert.equal(given.status, 'retry')
  await bench.accepted(record)
  assert.deepEqual(
    bench.of('config').map(({ message }) => itemsOf(message)),
    [[['lr', '1']]],
  )
})
