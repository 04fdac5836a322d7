/** G4 for programs that log now and then: the first call after a pause is as safe as any other. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicNow } from '../../src/core/clock.ts'
import { type Run, startLogging } from '../../src/index.ts'

const TIMES = 7
/** Long enough for the drain thread to take longer naps, too short for it to be woken by a call. */
const PAUSE_MS = 700
const MISSING_MS = 20

test('what is logged after a pause is in the journal 20 ms later (median of 7)', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-pause-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const run = startLogging({ dir, backend: 'local' })
  const tookMs: number[] = []
  for (let step = 0; step < TIMES; step++) {
    await sleep(PAUSE_MS)
    tookMs.push(journaledAfterMs(run, step))
  }
  await run.finish()
  tookMs.sort((a, b) => a - b)
  t.diagnostic(`ms until journaled: ${tookMs.map((ms) => ms.toFixed(1)).join(' ')}`)
  assert.ok(tookMs[TIMES >> 1]! <= MISSING_MS, `${tookMs}`)
})

function journaledAfterMs(run: Run, step: number): number {
  const before = run.stats().journaled
  const since = monotonicNow()
  run.log({ loss: step }, { step })
  const never = new Int32Array(new SharedArrayBuffer(4))
  while (run.stats().journaled === before) Atomics.wait(never, 0, 0, 0.2)
  return monotonicNow() - since
}
