/** Runs one after another in one process: the last one finds it as the first one did. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { temporaryFolder } from '../run/program.ts'
import type { OneAfterAnotherLook } from './orders.ts'
import { tellOf } from './programs.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const RUNS = isLong ? 1000 : 200
/** What caches and the compiler take is taken by then. */
const WARM = RUNS / 4
/** Names of its own and what the engine keeps of them; the counters of a run alone take 8 KiB. */
const HEAP_BYTES_PER_RUN = 4 * 1024
/** Other threads collect when they need room, not when the test asks. */
const UNCOLLECTED_BYTES = 8 * 2 ** 20
const RSS_BYTES = isLong ? 60 * 2 ** 20 : 120 * 2 ** 20

test(`${RUNS} runs one after another leave no listener, handle, descriptor, thread or memory behind`, async (context) => {
  const dir = temporaryFolder(context)
  const looks = [WARM, RUNS / 2, RUNS]
  const backend = ['local', 'tensorboard']
  const { lines, code, stderr } = await tellOf<OneAfterAnotherLook>('one-after-another', {
    dir,
    backend,
    looks,
  })
  assert.equal(code, 0, stderr)
  assert.equal(stderr, '')
  for (const { runs, rssBytes, heapBytes, bufferBytes } of lines) {
    const [rss, heap, buffers] = [rssBytes, heapBytes, bufferBytes].map((bytes) =>
      (bytes / 2 ** 20).toFixed(1),
    )
    context.diagnostic(`${runs} runs: ${rss} MiB, heap ${heap}, buffers ${buffers}`)
  }
  const [first, , last] = lines as [OneAfterAnotherLook, OneAfterAnotherLook, OneAfterAnotherLook]
  assert.deepEqual(last.listeners, first.listeners)
  assert.deepEqual(last.resources, first.resources)
  assert.equal(last.threads, first.threads)
  assert.ok(
    last.descriptors <= first.descriptors + 4,
    `${first.descriptors}, then ${last.descriptors} descriptors`,
  )
  const runs = last.runs - first.runs
  const heapBytes = (last.heapBytes - first.heapBytes) / runs
  assert.ok(heapBytes < HEAP_BYTES_PER_RUN, `${heapBytes} bytes of the heap a run`)
  const bufferBytes = last.bufferBytes - first.bufferBytes
  assert.ok(bufferBytes < UNCOLLECTED_BYTES, `${bufferBytes} bytes of buffers more`)
  assert.ok(last.rssBytes - first.rssBytes < RSS_BYTES, `${last.rssBytes - first.rssBytes} bytes more`)
})
