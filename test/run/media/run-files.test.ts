/** Files of the run itself: where they stand, what takes whose place, and that they are what they were at the call. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openRun, startLogging } from '../../../src/index.ts'
import { tracelet } from '../../cli/run-cli.ts'
import { temporaryFolder } from '../program.ts'
import { recordsOf, unaccounted, unfinishedIn } from './kept.ts'

function start(context: TestContext) {
  const told: string[] = []
  const dir = temporaryFolder(context)
  const run = startLogging({
    backend: 'local',
    dir: join(dir, 'runs'),
    onIssue: ({ code, message }) => told.push(`${code}: ${message}`),
  })
  context.after(() => run.finish())
  const folder = join(dir, 'given')
  const write = (files: Readonly<Record<string, string>>) => {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true })
      writeFileSync(join(folder, path), content)
    }
  }
  const contents = () =>
    Object.fromEntries(
      openRun(run.info.folder)
        .files()
        .map(({ path, content }) => [path, content!.text()]),
    )
  return { dir, run, told, folder, write, contents }
}

test('a file stands under its base name or where it is to stand, a folder with all that is below it', async (context) => {
  const { run, told, folder, write, contents } = start(context)
  write({ 'b.txt': 'B', 'sub/a.txt': 'A', 'sub/deeper/empty': '' })
  const sub = join(folder, 'sub')
  assert.deepEqual(await run.logFile(join(folder, 'b.txt')), { status: 'taken', files: 1, bytes: 1 })
  await run.logFile(pathToFileURL(join(folder, 'b.txt')), { as: 'größe 漢/b' })
  assert.deepEqual(await run.logFile(sub), { status: 'taken', files: 2, bytes: 1 })
  await run.logFile(sub, { as: 'x/y' })
  await run.logFile(sub, { as: '.' })
  await run.logFile(join(folder, 'b.txt'), { as: '.' })
  const stats = await run.finish()
  assert.equal(unaccounted(stats), 0)
  assert.deepEqual(contents(), {
    'a.txt': 'A',
    'b.txt': 'B',
    'deeper/empty': '',
    'größe 漢/b': 'B',
    'sub/a.txt': 'A',
    'sub/deeper/empty': '',
    'x/y/a.txt': 'A',
    'x/y/deeper/empty': '',
  })
  assert.deepEqual(told, [])
})

test('a later file of the same path takes its place, also one of a folder, and all can be downloaded', async (context) => {
  const { dir, run, folder, write, contents } = start(context)
  for (const content of ['one', 'two']) {
    write({ 'log.txt': content })
    void run.logFile(join(folder, 'log.txt'), { as: 'given/log.txt' })
  }
  write({ 'log.txt': 'three', 'more.txt': 'm' })
  void run.logFile(folder)
  write({ 'log.txt': 'after the call' })
  await run.finish()
  assert.deepEqual(contents(), { 'given/log.txt': 'three', 'given/more.txt': 'm' })
  assert.equal(recordsOf(run.info.folder, 'files').length, 3)
  const to = join(dir, 'to')
  const { files, bytes } = await openRun(run.info.folder).downloadFiles(to)
  assert.deepEqual([files, bytes], [2, 6])
  assert.equal(readFileSync(join(to, 'given/log.txt'), 'utf8'), 'three')
})

test('paths that lead out, are absolute or no paths are refused with a reason; so are addresses', async (context) => {
  const { run, told, folder, write } = start(context)
  write({ 'b.txt': 'B' })
  const path = join(folder, 'b.txt')
  const wrong: readonly (readonly [as: unknown, reason: RegExp])[] = [
    ['../b', /has the part '\.\.'/],
    ['a/../../b', /has the part '\.\.'/],
    ['a/./b', /has the part '\.'/],
    ['/etc/passwd', /is absolute/],
    ['C:/b', /is absolute/],
    ['c:b', /is absolute/],
    ['', /has an empty part/],
    ['a//b', /has an empty part/],
    ['a/', /has an empty part/],
    ['a\\b', /control characters/],
    ['a\0b', /control characters/],
    [`${'a'.repeat(513)}`, /more than 512 bytes/],
    [7, /is none/],
    [null, /is none/],
  ]
  for (const [as, reason] of wrong) {
    const answer = await run.logFile(path, { as: as as string })
    assert.ok(answer.status === 'failed' && answer.code === 'ERR_VALUE', String(as))
    assert.match(answer.reason, reason)
  }
  for (const address of ['s3://bucket/key', 'https://ann:hush-hush@host/file']) {
    const answer = await run.logFile(address)
    assert.ok(answer.status === 'failed' && answer.code === 'ERR_VALUE')
    assert.match(answer.reason, /is an address: .* logArtifact\(\) takes references/)
    assert.doesNotMatch(answer.reason, /hush/)
  }
  for (const nothing of ['', 7 as never, 'a\0b', join(folder, 'not there')])
    assert.equal((await run.logFile(nothing)).status, 'failed')
  const stats = await run.finish()
  assert.equal(told.length, wrong.length + 2 + 4)
  assert.deepEqual(recordsOf(run.info.folder, 'files'), [])
  assert.equal(stats.records.lost, 0)
})

test('a large file that changes while it is copied is refused by its path in the run, and counted', async (context) => {
  const { run, told, folder, write } = start(context)
  write({ large: 'x'.repeat(8 * 2 ** 20) })
  const path = join(folder, 'large')
  const snapshot = run.logFile(path, { as: 'deep/large' })
  writeFileSync(path, 'short')
  const answer = await snapshot
  const stats = await run.finish()
  assert.equal(unaccounted(stats), 0)
  assert.deepEqual(unfinishedIn(run.info.folder), [])
  if (answer.status === 'taken') {
    // the file system shared its blocks at the call
    assert.equal(answer.bytes, 8 * 2 ** 20)
    return
  }
  assert.equal(answer.code, 'ERR_ARTIFACT')
  assert.equal(stats.records.lost, 1)
  assert.match(told[0]!, /^ERR_ARTIFACT: file 'deep\/large' is lost: 'deep\/large' changed/)
})

test('what is left out of a folder is said, and a link cannot bring in what lies outside', async (context) => {
  const { dir, run, told, folder, write, contents } = start(context)
  write({ 'a.txt': 'A' })
  writeFileSync(join(dir, 'secret'), 'secret')
  symlinkSync(join(dir, 'secret'), join(folder, 'link'))
  await run.logFile(folder, { as: 'x' })
  await run.finish()
  assert.deepEqual(contents(), { 'x/a.txt': 'A' })
  assert.match(told.join(), /ERR_ARTIFACT: file 'x\/a\.txt' is not all .* 'link' is a link out of the folder/)
})

test('very many files stand in a list of their own, and doctor misses one that is gone', async (context) => {
  const { run, folder, write, dir } = start(context)
  write(Object.fromEntries(Array.from({ length: 700 }, (_, at) => [`d${at % 9}/f${at}`, `content ${at}`])))
  assert.deepEqual((await run.logFile(folder, { as: '.' })).status, 'taken')
  await run.finish()
  const [record] = recordsOf(run.info.folder, 'files')
  assert.ok('digest' in record!.files, 'so many stand in a list of their own')
  const stored = openRun(run.info.folder).files()
  assert.equal(stored.length, 700)
  assert.equal(stored.find(({ path }) => path === 'd1/f1')!.content!.text(), 'content 1')
  const sound = await tracelet(dir, 'doctor', run.info.folder)
  assert.match(sound.stdout, /content: 701 blobs in place/)
  const blobs = join(run.info.folder, 'blobs')
  const { digest } = stored[3]!.content!
  const part = readdirSync(blobs).find((name) => name === digest.slice(0, 2))!
  rmSync(join(blobs, part, digest))
  const broken = await tracelet(dir, 'doctor', run.info.folder)
  assert.match(broken.stdout, /content: 1 of 701 blobs: files.* is missing/)
})
