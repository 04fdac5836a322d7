/** Artifacts and models: what is kept is what stood there at the call, or the artifact is refused. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { FILE_LIST_TYPE } from '../../../src/core/media-types.ts'
import type { BlobRef } from '../../../src/core/types.ts'
import { type Run, startLogging } from '../../../src/index.ts'
import { findFiles } from '../../../src/run/media/artifact-walk.ts'
import { Random, SEED } from '../../random.ts'
import { temporaryFolder } from '../program.ts'
import { bytesOf, contentsOf, listOf, recordsOf, unaccounted, unfinishedIn } from './kept.ts'

const MIB = 2 ** 20
const isWindows = process.platform === 'win32'

interface Given {
  readonly run: Run
  /** Codes and messages told. */
  readonly told: string[]
  /** For what is to be logged. */
  readonly folder: string
}

function start(context: TestContext): Given {
  const told: string[] = []
  const dir = temporaryFolder(context)
  const run = startLogging({
    backend: 'local',
    dir: join(dir, 'runs'),
    onIssue: ({ code, message }) => told.push(`${code}: ${message}`),
  })
  context.after(() => run.finish())
  const folder = join(dir, 'given')
  mkdirSync(folder)
  return { run, told, folder }
}

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
}

test('a file, a folder and a reference are kept under their names', async (context) => {
  const { run, told, folder } = start(context)
  write(folder, { 'b.txt': 'B', 'sub/a.txt': 'A', 'sub/deeper/empty': '' })
  assert.deepEqual(await run.logArtifact(join(folder, 'b.txt')), { status: 'taken', files: 1, bytes: 1 })
  assert.deepEqual(await run.logArtifact(pathToFileURL(folder)), { status: 'taken', files: 3, bytes: 2 })
  assert.deepEqual(await run.logArtifact('s3://bucket/data/train%20set.parquet?v=1'), {
    status: 'taken',
    files: 1,
    bytes: 0,
  })
  const about = { name: 'named', type: 'dataset', description: 'd', metadata: { rows: 10n } }
  await run.logArtifact(folder, { ...about, alias: ['best', 'best', 'v'] })
  await run.logModel(join(folder, 'b.txt'), { register: 'r', alias: ['x', 'y', 'x'], step: 3 })
  const stats = await run.finish()
  assert.equal(unaccounted(stats), 0)
  const artifacts = recordsOf(run.info.folder, 'artifact').sort((a, b) => a.time - b.time)
  assert.deepEqual(artifacts.map(({ name, type, bytes }) => [name, type, bytes]).sort(), [
    ['b.txt', 'artifact', 1],
    ['given', 'artifact', 2],
    ['named', 'dataset', 2],
    ['train set.parquet', 'artifact', 0],
  ])
  const named = artifacts.find(({ name }) => name === 'named')!
  assert.deepEqual(contentsOf(run.info.folder, named.files), {
    'b.txt': 'B',
    'sub/a.txt': 'A',
    'sub/deeper/empty': '',
  })
  assert.deepEqual([named.description, named.metadata, named.aliases], ['d', '{"rows":"10"}', ['best', 'v']])
  const reference = artifacts.find(({ name }) => name === 'train set.parquet')!
  assert.deepEqual(reference.files, [
    { path: 'train set.parquet', uri: 's3://bucket/data/train%20set.parquet?v=1' },
  ])
  const [model] = recordsOf(run.info.folder, 'model')
  assert.deepEqual(
    [model!.name, model!.register, model!.aliases, model!.step, contentsOf(run.info.folder, model!.files)],
    ['b.txt', 'r', ['x', 'y'], 3, { 'b.txt': 'B' }],
  )
  assert.deepEqual(told, [])
})

test('a small file changed right after the call is kept as it was', async (context) => {
  const { run, folder } = start(context)
  const path = join(folder, 'file')
  for (let round = 0; round < 20; round++) {
    writeFileSync(path, `old ${round}`)
    const snapshot = run.logArtifact(path, { name: `${round}` })
    writeFileSync(path, 'new')
    assert.equal((await snapshot).status, 'taken')
  }
  await run.finish()
  for (const { name, files } of recordsOf(run.info.folder, 'artifact'))
    assert.deepEqual(contentsOf(run.info.folder, files), { file: `old ${name}` })
})

test('a large file changed after the call is kept as it was or refused, never new or mixed', async (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const { run, told, folder } = start(context)
  const path = join(folder, 'file')
  const old = Buffer.alloc(8 * MIB, 'old')
  const changes: readonly (readonly [name: string, change: () => void])[] = [
    ['in place, right away', () => overwrite(path, 5 * MIB, 'new')],
    ['in place, at its last byte', () => overwrite(path, old.length - 1, '!')],
    ['longer', () => appendFileSync(path, 'new')],
    ['shorter', () => truncateSync(path, 100)],
    ['gone', () => rmSync(path)],
    [
      'another of the same length',
      () => {
        writeFileSync(`${path}.new`, Buffer.alloc(8 * MIB, 'new'))
        renameSync(`${path}.new`, path)
      },
    ],
    [
      'its time set back',
      () => {
        const { atime, mtime } = statSync(path)
        overwrite(path, 0, 'new')
        utimesSync(path, atime, mtime)
      },
    ],
  ]
  const outcomes: string[] = []
  for (const [name, change] of changes) {
    for (let round = 0; round < 3; round++) {
      rmSync(path, { force: true })
      writeFileSync(path, old)
      const snapshot = run.logArtifact(path, { name: `${name} ${round}` })
      if (round === 0) change()
      else setTimeout(change, random.below(15))
      const result = await snapshot
      outcomes.push(result.status)
      if (result.status === 'failed') {
        assert.equal(result.code, 'ERR_ARTIFACT')
        assert.match(result.reason, /await the promise|cannot be read/)
      }
      // the change must not run into the next round
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const stats = await run.finish()
  assert.equal(unaccounted(stats), 0)
  const failures = outcomes.filter((status) => status === 'failed').length
  context.diagnostic(`${failures} of ${outcomes.length} refused`)
  assert.ok(failures >= changes.length - 1, 'those changed at once are refused where nothing is cloned')
  assert.equal(stats.records.lost, failures)
  assert.equal(told.filter((text) => text.startsWith('ERR_ARTIFACT')).length, failures)
  const kept = recordsOf(run.info.folder, 'artifact')
  assert.equal(kept.length, outcomes.length - failures)
  for (const { files } of kept) {
    const [file] = listOf(run.info.folder, files) as [{ path: string; blob: BlobRef }]
    assert.ok(bytesOf(run.info.folder, file.blob).equals(old))
  }
  assert.deepEqual(unfinishedIn(run.info.folder), [])
})

test('2 GiB with holes: memory stays bounded, scalars and images flow meanwhile', async (context) => {
  const { run, told, folder } = start(context)
  const path = join(folder, 'file')
  const size = 2 ** 31
  writeFileSync(path, 'begin')
  truncateSync(path, size - 3)
  appendFileSync(path, 'end')
  const rss = process.memoryUsage.rss()
  let most = 0
  let callMs = 0
  const since = performance.now()
  const snapshot = run.logArtifact(path)
  const calledMs = performance.now() - since
  let isTaken = false
  void snapshot.then(() => {
    isTaken = true
  })
  let step = 0
  let flushed = 0
  for (; !isTaken; step++) {
    const before = performance.now()
    run.log({ loss: step }, { step })
    if (step % 10 === 0) run.logImage('i', { data: new Uint8Array(3000), shape: [10, 100, 3] })
    callMs = Math.max(callMs, performance.now() - before)
    most = Math.max(most, process.memoryUsage.rss())
    await new Promise((resolve) => setTimeout(resolve, 10))
    if (step % 20 === 0) flushed = run.stats().journaled
  }
  const { records, journaled } = run.stats()
  assert.deepEqual(await snapshot, { status: 'taken', files: 1, bytes: size })
  context.diagnostic(
    `call ${Math.round(calledMs)} ms, longest other call ${callMs.toFixed(1)} ms, rss +${Math.round((most - rss) / MIB)} MiB, ${step} steps`,
  )
  assert.ok(most - rss < 100 * MIB, `rss grew by ${(most - rss) / MIB} MiB`)
  assert.ok(step < 20 || flushed > step / 2, `${flushed} of ${step} points were journaled meanwhile`)
  assert.ok(records.journaled > step / 20, `${records.journaled} records, ${journaled} points`)
  await run.finish()
  const [artifact] = recordsOf(run.info.folder, 'artifact')
  const [file] = listOf(run.info.folder, artifact!.files) as [{ path: string; blob: BlobRef }]
  assert.equal(file.blob.bytes, size)
  if (!isWindows) {
    const kept = join(run.info.folder, 'blobs', file.blob.digest.slice(0, 2), file.blob.digest)
    assert.ok(statSync(kept).blocks * 512 < 8 * MIB, 'holes stay holes')
  }
  assert.deepEqual(told, [])
})

test('10,000 small files are one record with its list in a blob', async (context) => {
  const { run, told, folder } = start(context)
  const count = 10_000
  for (let i = 0; i < count; i++) {
    if (i % 100 === 0) mkdirSync(join(folder, `${i / 100}`))
    // every seventh has the content of another
    writeFileSync(join(folder, `${Math.floor(i / 100)}`, `${i}.txt`), `${i - (i % 7)} `.repeat(40))
  }
  const snapshot = await run.logArtifact(folder)
  await run.finish()
  const [artifact] = recordsOf(run.info.folder, 'artifact')
  assert.equal((artifact!.files as BlobRef).type, FILE_LIST_TYPE)
  const contents = contentsOf(run.info.folder, artifact!.files)
  assert.equal(Object.keys(contents).length, count)
  assert.deepEqual(Object.keys(contents), Object.keys(contents).sort())
  for (let i = 0; i < count; i++)
    assert.equal(contents[`${Math.floor(i / 100)}/${i}.txt`], `${i - (i % 7)} `.repeat(40))
  const bytes = Object.values(contents).reduce((sum, content) => sum + content.length, 0)
  assert.deepEqual(snapshot, { status: 'taken', files: count, bytes })
  assert.deepEqual(told, [])
})

test('links: out of the folder, nowhere and in circles are left out by name, inside are files', {
  skip: isWindows,
}, async (context) => {
  const { run, told, folder } = start(context)
  write(folder, { 'in/key': 'inside', 'in/sub/other': 'other', '../secret': 'SECRET' })
  const inside = join(folder, 'in')
  symlinkSync('../../secret', join(inside, 'out-relative'))
  symlinkSync(join(folder, '..', 'secret'), join(inside, 'out-absolute'))
  symlinkSync(join(folder, '..'), join(inside, 'out-folder'))
  symlinkSync('key', join(inside, 'link'))
  symlinkSync('sub', join(inside, 'linked'))
  symlinkSync('..', join(inside, 'sub', 'circle'))
  symlinkSync('self', join(inside, 'self'))
  symlinkSync('nothing', join(inside, 'broken'))
  symlinkSync(inside, join(folder, 'named'))
  linkSync(join(inside, 'key'), join(inside, 'hard'))
  assert.equal((await run.logArtifact(join(folder, 'named'))).status, 'taken')
  await run.finish()
  const [artifact] = recordsOf(run.info.folder, 'artifact')
  assert.equal(artifact!.name, 'named')
  assert.deepEqual(contentsOf(run.info.folder, artifact!.files), {
    hard: 'inside',
    key: 'inside',
    link: 'inside',
    'linked/other': 'other',
    'sub/other': 'other',
  })
  assert.equal(told.length, 1)
  for (const name of ['out-relative', 'out-absolute', 'out-folder', 'circle', 'self', 'broken'])
    assert.match(told[0]!, new RegExp(`'[^']*${name}' is a link`))
})

test('links that multiply without end are bounded', { skip: isWindows }, async (context) => {
  const { run, told, folder } = start(context)
  const names = Array.from({ length: 9 }, (_, i) => `folder${i}`)
  for (const name of names) mkdirSync(join(folder, name))
  for (const name of names) {
    writeFileSync(join(folder, name, 'file'), name)
    for (const other of names) if (other !== name) symlinkSync(`../${other}`, join(folder, name, other))
  }
  const snapshot = await run.logArtifact(folder)
  // a file in each folder, and in each of the first 1,000 linked ones; without a bound there would be millions
  assert.ok(snapshot.status === 'taken' && snapshot.files > 500 && snapshot.files <= 1009)
  assert.match(told[0]!, /is a link to a folder/)
})

test('hostile and unicode names stay inside the artifact, each different', {
  skip: process.platform !== 'linux',
}, async (context) => {
  const { run, told, folder } = start(context)
  const names = [
    'ü',
    'u\u0308',
    '😀',
    ' ',
    '...',
    '-rf',
    '~',
    'C:',
    'a b',
    '%5c',
    'con',
    "'",
    '"',
    '\u202etxt',
  ]
  const hostile = ['..\\..\\etc', 'new\nline', 'esc\u001b[2J', '\\']
  for (const name of [...names, ...hostile]) writeFileSync(join(folder, name), name)
  const notText = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff, 0xfe])])
  writeFileSync(notText, 'bytes')
  assert.equal((await run.logArtifact(folder)).status, 'taken')
  await run.finish()
  const contents = contentsOf(run.info.folder, recordsOf(run.info.folder, 'artifact')[0]!.files)
  const { 'f%ff%fe': bytes, ...rest } = contents
  assert.equal(bytes, 'bytes')
  assert.equal(Object.keys(rest).length, names.length + hostile.length)
  for (const name of names.filter((name) => name !== '%5c')) assert.equal(rest[name], name)
  assert.deepEqual(Object.values(rest).sort(), [...names, ...hostile].sort())
  for (const path of Object.keys(contents)) assert.doesNotMatch(path, /[\\\p{Cc}]|(^|\/)\.{0,2}(\/|$)/u)
  assert.equal(told.length, 1)
  assert.match(told[0]!, /not UTF-8: kept as 'f%ff%fe'/)
})

test('a folder of more entries than can be walked at a call is refused', (context) => {
  const folder = temporaryFolder(context)
  write(folder, { a: '', b: '', 'c/d': '' })
  assert.equal(findFiles(folder, '/runs/project/run', 4).files.length, 3)
  assert.throws(() => findFiles(folder, '/runs/project/run', 3), {
    code: 'ERR_ARTIFACT',
    message: /holds more than 3 files/,
  })
})

test('what is no file is left out of a folder and refused alone', { skip: isWindows }, async (context) => {
  const { run, told, folder } = start(context)
  const { execFileSync } = await import('node:child_process')
  execFileSync('mkfifo', [join(folder, 'pipe')])
  write(folder, { file: 'x' })
  const alone = await run.logArtifact(join(folder, 'pipe'))
  assert.deepEqual([alone.status, alone.status === 'failed' && alone.code], ['failed', 'ERR_ARTIFACT'])
  assert.deepEqual(await run.logArtifact(folder), { status: 'taken', files: 1, bytes: 1 })
  assert.equal(told.length, 2)
  assert.match(told[1]!, /'pipe' is neither a file nor a folder: left out/)
})

test('bad input resolves as failed with its code, and nothing is counted', async (context) => {
  const { run, told, folder } = start(context)
  write(folder, { file: 'x' })
  const file = join(folder, 'file')
  const before = run.stats().records.accepted
  const cases: readonly (readonly [code: string, call: () => Promise<object>])[] = [
    ['ERR_ARTIFACT', () => run.logArtifact(join(folder, 'nothing'))],
    ['ERR_VALUE', () => run.logArtifact('')],
    ['ERR_VALUE', () => run.logArtifact('a\0b')],
    ['ERR_VALUE', () => run.logArtifact(7 as never)],
    ['ERR_NAME', () => run.logArtifact(file, { name: '' })],
    ['ERR_NAME', () => run.logArtifact(file, { type: 7 as never })],
    ['ERR_VALUE', () => run.logArtifact(file, { metadata: 'x' as never })],
    ['ERR_VALUE', () => run.logArtifact(file, { description: 7 as never })],
    ['ERR_VALUE_TOO_LONG', () => run.logArtifact(file, { description: 'd'.repeat(1e6) })],
    ['ERR_STEP', () => run.logModel(file, { step: 0.5 })],
    ['ERR_VALUE', () => run.logModel(file, { register: 'r', alias: 7 as never })],
    ['ERR_NAME', () => run.logModel(file, { register: '' })],
    ['ERR_ARTIFACT', () => run.logArtifact('file://elsewhere/x')],
  ]
  for (const [code, call] of cases) {
    told.length = 0
    const { status, code: given } = (await call()) as { status: string; code: string }
    assert.deepEqual([status, given], ['failed', code], `${call}`)
    assert.equal(told.length, 1)
  }
  assert.equal(run.stats().records.accepted, before)
})

test('a folder that holds the runs is logged without them', async (context) => {
  const { run, told, folder } = start(context)
  write(folder, { 'file.txt': 'x' })
  writeFileSync(join(folder, 'large'), Buffer.alloc(2 * MIB, 1))
  run.log({ loss: 1 })
  const snapshot = await run.logArtifact(join(folder, '..'))
  assert.deepEqual(snapshot, { status: 'taken', files: 2, bytes: 2 * MIB + 1 })
  assert.match(told.join('\n'), /'runs' is where tracelet keeps its runs: left out/)
})

test('a file that has just been written is told from one changed a moment later', async (context) => {
  const { run, folder } = start(context)
  // within one tick of the file system's clock nothing but the content tells the two apart
  for (let round = 0; round < 10; round++) {
    const path = join(folder, `${round}`)
    const old = Buffer.alloc(2 * MIB, 'old')
    writeFileSync(path, old)
    const snapshot = run.logArtifact(path)
    overwrite(path, 0, 'new')
    const result = await snapshot
    if (result.status === 'failed') {
      assert.match(result.reason, /was written to/)
      continue
    }
    await run.flush()
    const files = recordsOf(run.info.folder, 'artifact').at(-1)!.files
    const [file] = listOf(run.info.folder, files) as [{ path: string; blob: BlobRef }]
    assert.ok(bytesOf(run.info.folder, file.blob).equals(old))
  }
  assert.deepEqual(readdirSync(folder).length, 10)
})

function overwrite(path: string, position: number, text: string): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, text, position)
  closeSync(fd)
}
