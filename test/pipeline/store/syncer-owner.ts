/**
 * A thread that owns a Syncer and never turns its event loop after the first line, as the drain thread may.
 * Appends `rounds` times to the file at `path` and waits for each to be synced; adds 1 to `done` per round, and
 * then stays blocked for ever.
 */
import { openSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { Syncer } from '../../../src/pipeline/store/syncer.ts'

const { path, rounds, done } = workerData as { path: string; rounds: number; done: Int32Array }
const syncer = new Syncer<string>({ intervalMs: 1 })
const sleep = new Int32Array(new SharedArrayBuffer(4))
const fd = openSync(path, 'a')
for (let round = 1, bytes = 0; round <= rounds; round++) {
  bytes += writeSync(fd, 'x'.repeat(1000))
  syncer.dirty(fd, path, bytes)
  while (!syncer.poll().some((report) => report.syncedBytes === bytes && report.failure === '')) {
    Atomics.wait(sleep, 0, 0, 1)
  }
  Atomics.store(done, 0, round)
  Atomics.notify(done, 0)
}
Atomics.wait(sleep, 0, 0)
