/** Where the file system shares blocks between files, large files are cloned at the call. */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type KeptFiles, keepFiles } from '../../../src/pipeline/parking/keep-files.ts'
import type { FileToKeep } from '../../../src/pipeline/parking/messages.ts'
import { BlobStore } from '../../../src/pipeline/store/blobs.ts'
import { READ_AT_CALL_BYTES, takeFiles } from '../../../src/run/media/artifact-files.ts'
import { temporaryFolder } from '../program.ts'
import { contentsOf, unfinishedIn } from './kept.ts'

const LARGE = 'x'.repeat(READ_AT_CALL_BYTES + 1)

function keep(folder: string, files: readonly FileToKeep[]): KeptFiles {
  const steps = keepFiles(new BlobStore(folder, 'process'), files)
  let step = steps.next()
  while (!step.done) step = steps.next()
  return step.value
}

function folders(root: string): { run: string; given: string } {
  const run = join(root, 'project', 'run')
  const given = join(root, 'given')
  for (const folder of [run, given]) mkdirSync(folder, { recursive: true })
  return { run, given }
}

test('a clone is what is kept, whatever becomes of the file', (context) => {
  const { run, given } = folders(temporaryFolder(context))
  writeFileSync(join(given, 'large'), LARGE, { mode: 0o644 })
  writeFileSync(join(given, 'empty'), '')
  const { files, bytes } = takeFiles(given, run, (from, to) => copyFileSync(from, to))
  assert.ok(bytes < 10_000, 'clones take no memory')
  const clones = unfinishedIn(run)
  assert.equal(clones.length, 1)
  assert.equal(statSync(join(run, 'blobs', clones[0]!)).mode & 0o777, 0o600)
  writeFileSync(join(given, 'large'), 'new')
  const kept = keep(run, files)
  assert.equal(kept.bytes, LARGE.length)
  assert.ok(contentsOf(run, kept.files).large === LARGE)
  assert.deepEqual(unfinishedIn(run), [])
})

test('where there is no clone the file itself is copied, and nothing is left of the attempt', (context) => {
  const { run, given } = folders(temporaryFolder(context))
  writeFileSync(join(given, 'large'), LARGE)
  let attempts = 0
  const { files } = takeFiles(given, run, (_, to) => {
    attempts++
    writeFileSync(to, 'half')
    throw new Error('not here')
  })
  assert.equal(attempts, 1)
  assert.deepEqual(unfinishedIn(run), [])
  assert.ok(contentsOf(run, keep(run, files).files).large === LARGE)
})

test('a file that changes while it is cloned is left to be refused', (context) => {
  const { run, given } = folders(temporaryFolder(context))
  const path = join(given, 'large')
  writeFileSync(path, LARGE)
  const { files } = takeFiles(given, run, (from, to) => {
    copyFileSync(from, to)
    writeFileSync(path, `${LARGE}more`)
  })
  assert.throws(() => keep(run, files), {
    code: 'ERR_ARTIFACT',
    message: /'large' changed while it was copied/,
  })
  assert.deepEqual(readdirSync(join(run, 'blobs')), [])
  assert.equal(readFileSync(path, 'utf8').length, LARGE.length + 4)
})

test('up to 1 MiB in all is read at the call: no file is needed afterwards', (context) => {
  const { run, given } = folders(temporaryFolder(context))
  for (let i = 0; i < 4; i++) writeFileSync(join(given, `${i}`), `${i}`.repeat(READ_AT_CALL_BYTES / 4))
  const { files, bytes } = takeFiles(given, run)
  assert.ok(bytes >= READ_AT_CALL_BYTES)
  rmSync(given, { recursive: true })
  const contents = contentsOf(run, keep(run, files).files)
  for (let i = 0; i < 4; i++) assert.ok(contents[i] === `${i}`.repeat(READ_AT_CALL_BYTES / 4))
})
