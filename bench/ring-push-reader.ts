/** The other thread of the peers that bring none of their own. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { RingBuffer } from 'ringbuf.js'
import type { ReaderTask } from './ring-push-peers.ts'

const NAP_MS = 1

function drain(storage: SharedArrayBuffer): never {
  const ring = new RingBuffer(storage, Float64Array)
  const taken = new Float64Array(32_768)
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (;;) if (ring.pop(taken) === 0) Atomics.wait(never, 0, 0, NAP_MS)
}

if (!isMainThread) {
  const task = workerData as ReaderTask
  if (task.kind === 'ringbuf') drain(task.storage)
  parentPort!.on('message', () => {})
}
