/** Sums read while others write them: at no instant is there more than was accepted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { createCounters, PRODUCER, producerCounters, RUN, runCounters } from '../../src/core/counters.ts'
import type { Stats } from '../../src/core/types.ts'
import { readStats } from '../../src/run/stats.ts'
import { unaccounted } from './media/kept.ts'
import { runProgram, temporaryFolder } from './program.ts'

const NO_STALLS = { count: 0, totalMs: 0 }

test('a record that is journaled or lost before it is settled is not parked as well', () => {
  for (const [word, block] of [
    [RUN.recordsJournaled, runCounters],
    [RUN.recordsLostDisk, runCounters],
    [PRODUCER.recordsLost, (counters: SharedArrayBuffer) => producerCounters(counters, 1)],
  ] as const) {
    const counters = createCounters(0)
    const owner = producerCounters(counters, 0)
    owner[PRODUCER.recordsAccepted] = 2
    owner[PRODUCER.recordsParked] = 2
    block(counters)[word] = 1
    const { records } = readStats(counters, [], new Map(), NO_STALLS)
    assert.equal(records.parked, 1)
    assert.equal(records.journaled + records.lost, 1)
  }
})

test('a parking thread that dies after the run gave its image up: the image is lost once', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const { randomFillSync } = await import('node:crypto')
    const workers: Worker[] = []
    process.on('worker', (worker) => workers.push(worker))
    const run = startLogging({ onIssue: () => undefined })
    // noise takes longest to encode: longer than finish() waits for it
    const data = randomFillSync(new Uint8Array(200 * 2 ** 20))
    run.logImage('noise', { data, shape: [2048, 102_400] })
    const atFinish = await run.finish('finished', { deadlineMs: 0 })
    await workers.at(-1)!.terminate()
    process.stdout.write(JSON.stringify({ atFinish, after: run.stats() }))
  })
  const { atFinish, after } = JSON.parse(ended.stdout) as { atFinish: Stats; after: Stats }
  assert.deepEqual(atFinish.records, { accepted: 3, parked: 0, journaled: 2, lost: 1 })
  assert.equal(unaccounted(after), 0)
  assert.deepEqual(after.records, atFinish.records)
})
