/** What is delivered everywhere may go; who comes later is told what is missing, and every sum stays exact. */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, openRun, type Stats, startLogging } from '../../src/index.ts'
import { listSegments } from '../../src/pipeline/journal/segment-file.ts'
import { removeDelivered } from '../../src/pipeline/retention.ts'
import { readDeadLetters } from '../../src/pipeline/store/dead-letters.ts'
import { fakeModule } from '../pipeline/delivery/run-folder.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { temporaryFolder } from './program.ts'

const MAX_JOURNAL_BYTES = 512 * 1024
const BOUNDED_MS = 60_000

function assertLaw(stats: Stats, why: string): void {
  const { accepted, coalesced, inRing, journaled, lost, before, records } = stats
  assert.equal(accepted, journaled + coalesced + lost.disk + lost.laneFull + inRing, why)
  for (const [name, sums] of Object.entries(stats.destinations)) {
    const { delivered, filtered, rejected, corrupt, pending } = sums
    const settled = delivered + filtered + rejected + corrupt
    assert.deepEqual([settled, pending], [before.points + journaled, 0], `${name}: ${why}`)
    const of = sums.records
    const settledRecords = of.delivered + of.filtered + of.rejected + of.corrupt
    const all = before.records + records.journaled
    assert.deepEqual([settledRecords, of.pending], [all, 0], `${name}: ${why}`)
  }
}

const bytesOf = (folder: string) =>
  listSegments(folder).reduce(
    (sum, number) => sum + statSync(join(folder, `journal-${String(number).padStart(8, '0')}.tlj`)).size,
    0,
  )

test('delivered segments go while the run is written; resume, a later destination and history know what is gone', async (t) => {
  const dir = temporaryFolder(t)
  const identity = await IdentityServer.start()
  const offset = await OffsetServer.start()
  const late = await OffsetServer.start()
  t.after(() => Promise.all([identity, offset, late].map((server) => server.stop())))
  const issues: Issue[] = []
  const common = {
    dir,
    runId: 'r',
    retention: 'delivered',
    maxJournalBytes: MAX_JOURNAL_BYTES,
    onIssue: (issue: Issue) => void issues.push(issue),
  } as const
  const backend = {
    identity: { module: fakeModule('identity'), url: identity.url },
    offset: { module: fakeModule('offset'), url: offset.url },
  }
  let step = 0
  const first = startLogging({ ...common, backend, params: { lr: 1 } })
  const { folder } = first.info
  let largest = 0
  const removedSome = () => listSegments(folder)[0]! > 2
  for (
    const until = performance.now() + BOUNDED_MS;
    !removedSome() && performance.now() < until;
    await sleep(2)
  ) {
    for (let i = 0; i < 10; i++, step++) first.log({ loss: step / 2 }, { step })
    largest = Math.max(largest, bytesOf(folder))
  }
  assert.ok(removedSome(), `nothing was removed: ${readdirSync(folder)}`)
  const stats = await first.finish()
  assertLaw(stats, JSON.stringify({ stats, issues }))
  assert.ok(largest <= MAX_JOURNAL_BYTES, `the journal had ${largest} bytes`)
  const left = listSegments(folder)
  assert.ok(left.length <= 3 && left[0]! > 2, `what it last said stays, and little more: ${left}`)
  const held = openRun('r', { dir }).history('loss')
  assert.ok(held.removed > 0)
  assert.equal(held.removed + held.step.length, stats.journaled)
  assert.equal(held.value.at(-1), (step - 1) / 2)
  const stored = [...identity.runs.values()].flatMap(({ points }) => [...points.values()])
  assert.equal(stored.length, stats.journaled)
  assert.equal(offset.points('r').length, stats.journaled)

  // the same run goes on, and somebody joins
  const second = startLogging({
    ...common,
    backend: { ...backend, 'offset:late': { module: fakeModule('offset'), url: late.url } },
  })
  for (let i = 0; i < 50; i++, step++) second.log({ loss: step / 2 }, { step })
  const more = await second.finish()
  assert.equal(more.before.points, stats.journaled)
  assertLaw(more, JSON.stringify({ more, issues }))
  const joined = more.destinations['offset:late']!
  assert.equal(joined.rejected, held.removed)
  assert.equal(late.points('r').length, held.step.length + more.journaled)
  assert.equal(more.destinations.identity!.rejected, 0)
  const letters = [...readDeadLetters(folder)]
  assert.deepEqual(
    letters.map((letter) => [letter.destination, letter.code, letter.kind === 'gone' && letter.points]),
    [['offset:late', 'ERR_HISTORY_GONE', held.removed]],
  )
  assert.equal(issues.filter(({ code }) => code === 'ERR_HISTORY_GONE').length, 1)
  assert.ok(!issues.some(({ code }) => code === 'ERR_LAW'), JSON.stringify(issues))
})

test('a journal that was filled at once has room again when it is delivered', async (t) => {
  const dir = temporaryFolder(t)
  const server = await OffsetServer.start()
  t.after(() => server.stop())
  const run = startLogging({
    dir,
    retention: 'delivered',
    maxJournalBytes: 65_536,
    backend: { offset: { module: fakeModule('offset'), url: server.url } },
    onIssue: () => {},
  })
  let step = 0
  for (; step < 20_000; step++) run.log({ loss: step }, { step })
  await run.flush()
  assert.ok(run.stats().lost.disk > 0)
  const full = run.stats().journaled
  for (
    const until = performance.now() + BOUNDED_MS;
    run.stats().journaled === full && performance.now() < until;
    await sleep(20)
  )
    run.log({ loss: step }, { step: step++ })
  const stats = await run.finish()
  assert.ok(stats.journaled > full, 'it takes points again')
  assertLaw(stats, JSON.stringify(stats))
})

test('nothing goes where the journal is what the user keeps, or where a destination has not begun', async (t) => {
  const dir = temporaryFolder(t)
  const server = await OffsetServer.start()
  const backends = {
    local: { local: {}, offset: { module: fakeModule('offset'), url: server.url } },
    unreachable: { offset: { module: fakeModule('offset'), url: 'http://127.0.0.1:9' } },
  }
  for (const [runId, backend] of Object.entries(backends)) {
    const options = {
      dir,
      runId,
      backend,
      retention: 'delivered',
      maxJournalBytes: MAX_JOURNAL_BYTES,
    } as const
    const run = startLogging({ ...options, onIssue: () => {} })
    for (let step = 0; step < 6000; step++) {
      run.log({ loss: step }, { step })
      if (step % 1000 === 999) await run.flush()
    }
    const stats = await run.finish('finished', { deadlineMs: runId === 'local' ? 20_000 : 100 })
    const numbers = listSegments(run.info.folder)
    assert.ok(numbers.length > 1, `${runId}: ${numbers}`)
    assert.equal(removeDelivered(run.info.folder, numbers.at(-1)!), 0, runId)
    assert.equal(numbers[0], 1)
    assert.equal(openRun(runId, { dir }).history('loss').step.length, stats.journaled)
  }
  await server.stop()
})
