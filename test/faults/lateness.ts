/** Thread that only waits, a millisecond at a time, and writes down whenever it woke late: [monotonic ms, late by ms]. */
import { openSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { monotonicNow } from '../../src/core/clock.ts'

const NAP_MS = 1
const WORTH_WRITING_MS = 0.5

const file = openSync((workerData as { readonly path: string }).path, 'a')
const never = new Int32Array(new SharedArrayBuffer(4))
const line = new Float64Array(2)
for (;;) {
  const before = monotonicNow()
  Atomics.wait(never, 0, 0, NAP_MS)
  line[0] = monotonicNow()
  line[1] = line[0] - before - NAP_MS
  if (line[1] >= WORTH_WRITING_MS) writeSync(file, new Uint8Array(line.buffer))
}
