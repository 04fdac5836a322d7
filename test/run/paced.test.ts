/** A backend that takes few calls a second, and more runs than may be open at it at once. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import { CALLS_PER_SECOND } from './paced-sink.ts'
import { temporaryFolder } from './program.ts'

const RUNS = 80
const LONG_MS = 60_000
const ENDING = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const MODULE = new URL(`./paced-sink${ENDING}`, import.meta.url).href

type Call = readonly [what: string, at: number, run: string]

test('openings, writes, uploads and beats of all runs together are never more in any second, and all arrives', async (context) => {
  const dir = temporaryFolder(context)
  const file = join(dir, 'calls')
  const backend = { paced: { module: MODULE, file } }
  const runs = Array.from({ length: RUNS }, () => startLogging({ dir, backend }))
  const calls = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Call)
  for (const run of runs) {
    run.log({ loss: 1 }, { step: 0 })
    run.logText('note', 'a text', { step: 0 })
  }
  await sleep(1_000)
  const until = performance.now() + LONG_MS
  while (!calls().some(([what]) => what === 'beat') && performance.now() < until) await sleep(100)
  const all = await Promise.all(runs.map((run) => run.finish('finished', { deadlineMs: LONG_MS })))
  for (const { destinations } of all) {
    assert.deepEqual(
      [destinations.paced?.pending, destinations.paced?.records.pending, destinations.paced?.reason],
      [0, 0, ''],
    )
  }
  const begun = calls()
  const times = begun.map(([, at]) => at).sort((one, other) => one - other)
  for (let last = CALLS_PER_SECOND; last < times.length; last++) {
    // of an appended line the time is that of the call itself, a little later than its turn
    const overMs = times[last]! - times[last - CALLS_PER_SECOND]!
    assert.ok(overMs > 800, `${CALLS_PER_SECOND + 1} calls within ${overMs} ms`)
  }
  for (const what of ['open', 'write', 'upload', 'record', 'beat'])
    assert.ok(
      begun.some((call) => call[0] === what),
      `no ${what}`,
    )
  for (const what of ['open', 'write', 'record'])
    assert.equal(new Set(begun.filter((call) => call[0] === what).map((call) => call[2])).size, RUNS, what)
  const seconds = (times.at(-1)! - times[0]!) / 1_000
  context.diagnostic(
    `${times.length} calls in ${seconds.toFixed(1)} s, ${begun.filter(([what]) => what === 'beat').length} beats`,
  )
})
