/** Bytes by their content: whole under their name, once, whatever happens meanwhile. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, extname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { blobPath } from '../../../src/core/blob-path.ts'
import type { BlobRef } from '../../../src/core/types.ts'
import { BlobStore, COPY_BYTES, removeUnfinished, unfinishedPath } from '../../../src/pipeline/store/blobs.ts'
import { Random, SEED } from '../../random.ts'
import { temporaryFolder } from '../../run/program.ts'

const DIGEST_OF_ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function filesOf(folder: string): string[] {
  return readdirSync(join(folder, 'blobs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort()
}

function copyFile(store: BlobStore, path: string): { blob: BlobRef; parts: number } {
  const fd = openSync(path, 'r')
  const copy = store.copy({ read: (target, at) => readSync(fd, target, 0, target.length, at) }, 'a/b')
  let parts = 0
  let step = copy.next()
  for (; !step.done; step = copy.next()) parts++
  closeSync(fd)
  return { blob: step.value, parts }
}

for (const durability of ['process', 'power'] as const) {
  test(`bytes are found by their SHA-256, readable by their owner only (${durability})`, (context) => {
    const folder = temporaryFolder(context)
    const blob = new BlobStore(folder, durability).put(Buffer.from('abc'), 'text/plain')
    assert.deepEqual(blob, { digest: DIGEST_OF_ABC, bytes: 3, type: 'text/plain' })
    assert.equal(readFileSync(blobPath(folder, blob.digest), 'utf8'), 'abc')
    if (process.platform !== 'win32') {
      assert.equal(statSync(blobPath(folder, blob.digest)).mode & 0o777, 0o600)
      assert.equal(statSync(join(folder, 'blobs', 'ba')).mode & 0o777, 0o700)
    }
  })
}

test('equal content is kept once, however it comes; a file of another size is replaced', (context) => {
  const folder = temporaryFolder(context)
  const store = new BlobStore(folder, 'process')
  const path = join(folder, 'file')
  writeFileSync(path, 'abc')
  store.put(Buffer.from('abc'), 'text/plain')
  const inode = statSync(blobPath(folder, DIGEST_OF_ABC)).ino
  assert.equal(copyFile(store, path).blob.digest, DIGEST_OF_ABC)
  store.put(Buffer.from('abc'), 'text/plain')
  assert.equal(statSync(blobPath(folder, DIGEST_OF_ABC)).ino, inode)
  truncateSync(blobPath(folder, DIGEST_OF_ABC), 1)
  store.put(Buffer.from('abc'), 'text/plain')
  assert.equal(readFileSync(blobPath(folder, DIGEST_OF_ABC), 'utf8'), 'abc')
  assert.deepEqual(filesOf(folder), [DIGEST_OF_ABC])
})

test('copies of any length equal their source', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const folder = temporaryFolder(context)
  const store = new BlobStore(folder, 'process')
  const path = join(folder, 'file')
  for (const length of [0, 1, COPY_BYTES - 1, COPY_BYTES, COPY_BYTES + 1, 3 * COPY_BYTES + 17]) {
    const bytes = Buffer.alloc(length, `${random.next()}`)
    writeFileSync(path, bytes)
    const { blob, parts } = copyFile(store, path)
    assert.deepEqual(blob, { digest: sha256(bytes), bytes: length, type: 'a/b' })
    assert.ok(readFileSync(blobPath(folder, blob.digest)).equals(bytes))
    assert.equal(parts, Math.ceil(length / COPY_BYTES))
  }
})

test('a sparse file stays sparse and equal', { skip: process.platform === 'win32' }, (context) => {
  const folder = temporaryFolder(context)
  const path = join(folder, 'file')
  const fd = openSync(path, 'w')
  writeSync(fd, 'begin', 0)
  writeSync(fd, 'middle', 20 * COPY_BYTES + 5)
  ftruncateSync(fd, 64 * COPY_BYTES)
  closeSync(fd)
  const { blob } = copyFile(new BlobStore(folder, 'process'), path)
  const kept = blobPath(folder, blob.digest)
  assert.ok(readFileSync(kept).equals(readFileSync(path)))
  assert.equal(blob.digest, sha256(readFileSync(path)))
  assert.ok(statSync(kept).blocks * 512 <= 4 * COPY_BYTES, `${statSync(kept).blocks} blocks`)
})

test('a copy that is ended early, or whose source fails at any part, leaves nothing', (context) => {
  const folder = temporaryFolder(context)
  const store = new BlobStore(folder, 'process')
  for (let good = 0; good < 3; good++) {
    let part = 0
    const read = (target: Uint8Array) => {
      if (part++ >= good) throw new Error('the disk is gone')
      return target.fill(1).length
    }
    assert.throws(() => {
      for (const _ of store.copy({ read }, 'a/b'));
    }, /the disk is gone/)
  }
  const copy = store.copy({ read: (target) => target.fill(1).length }, 'a/b')
  copy.next()
  assert.equal(filesOf(folder).length, 1)
  copy.return({ digest: '', bytes: 0, type: '' })
  assert.throws(() => {
    for (const _ of store.copy({ read: () => 0 }, 'a/b', () => {
      throw new Error('it has changed')
    }));
  }, /it has changed/)
  assert.deepEqual(filesOf(folder), [])
})

test('a clone is taken over, or removed when that is ended early', (context) => {
  const folder = temporaryFolder(context)
  const store = new BlobStore(folder, 'process')
  const clone = unfinishedPath(folder)
  writeFileSync(clone, 'abc')
  const adoption = store.adopt(clone, 'a/b')
  adoption.next()
  const end = adoption.next()
  assert.deepEqual(end, { done: true, value: { digest: DIGEST_OF_ABC, bytes: 3, type: 'a/b' } })
  assert.deepEqual(filesOf(folder), [DIGEST_OF_ABC])
  const other = unfinishedPath(folder)
  writeFileSync(other, 'def')
  const given = store.adopt(other, 'a/b')
  given.next()
  given.return({ digest: '', bytes: 0, type: '' })
  assert.deepEqual(filesOf(folder), [DIGEST_OF_ABC])
})

test('what a process that died left unfinished is removed, what this one is writing stays', (context) => {
  const folder = temporaryFolder(context)
  new BlobStore(folder, 'process')
  const own = unfinishedPath(folder)
  writeFileSync(own, 'x')
  writeFileSync(join(folder, 'blobs', 'tmp-1.7-0.0'), 'x')
  new BlobStore(folder, 'process')
  assert.deepEqual(
    filesOf(folder).map((name) => join(folder, 'blobs', name)),
    [own],
  )
})

test('two threads that clear up after a process that died do not disturb each other', async (context) => {
  const folder = temporaryFolder(context)
  new BlobStore(folder, 'process')
  for (let i = 0; i < 2000; i++) writeFileSync(join(folder, 'blobs', `tmp-1.7-0.${i}`), '')
  const store = new URL(`../../../src/pipeline/store/blobs${extname(import.meta.url)}`, import.meta.url).href
  const go = new Int32Array(new SharedArrayBuffer(4))
  const program = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.store).then(({ BlobStore }) => {
      parentPort.postMessage('ready')
      Atomics.wait(workerData.go, 0, 0)
      new BlobStore(workerData.folder, 'process')
    })`
  const workers = [1, 2].map(() => new Worker(program, { eval: true, workerData: { store, go, folder } }))
  const ends = workers.map(
    (worker) =>
      new Promise((resolve, reject) => {
        worker.once('error', reject)
        worker.once('exit', resolve)
      }),
  )
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  Atomics.store(go, 0, 1)
  Atomics.notify(go, 0)
  assert.deepEqual(await Promise.all(ends), [0, 0])
  assert.deepEqual(filesOf(folder), [])
})

test('what cannot be removed does not keep the rest from being removed', (context) => {
  const folder = temporaryFolder(context)
  new BlobStore(folder, 'process')
  const [stuck, file] = [unfinishedPath(folder), unfinishedPath(folder)]
  mkdirSync(stuck)
  writeFileSync(file, 'x')
  removeUnfinished([stuck, file])
  assert.deepEqual(readdirSync(join(folder, 'blobs')), [basename(stuck)])
})

test('a full disk is an error of the system and leaves nothing', {
  skip: process.platform === 'win32',
}, (context) => {
  const folder = temporaryFolder(context)
  const module = fileURLToPath(new URL('../../../src/pipeline/store/blobs.js', import.meta.url))
  const program = `
    import { BlobStore } from ${JSON.stringify(module)}
    process.on('SIGXFSZ', () => {})
    const store = new BlobStore(${JSON.stringify(folder)}, 'process')
    try { store.put(new Uint8Array(1 << 20).fill(1), 'a/b'); console.log('kept') } catch (error) { console.log(error.code) }
    console.log(store.put(new Uint8Array(10), 'a/b').bytes)`
  const command = `ulimit -f 100; exec "${process.execPath}" --input-type=module -e "$PROGRAM"`
  const { stdout, stderr } = spawnSync('bash', ['-c', command], {
    env: { ...process.env, PROGRAM: program },
    encoding: 'utf8',
  })
  assert.equal(stdout, 'EFBIG\n10\n', stderr)
  assert.equal(filesOf(folder).length, 1)
})
