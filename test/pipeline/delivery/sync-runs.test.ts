import assert from 'node:assert/strict'
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { isSynced, type SyncedRun, type SyncOutcome } from '../../../src/pipeline/delivery/sync-outcome.ts'
import { RunSyncer, syncRuns } from '../../../src/pipeline/delivery/sync-runs.ts'
import type { FromDelivery } from '../../../src/pipeline/messages.ts'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { manyRuns, POINTS_PER_RUN, RECORDS_PER_RUN } from './many-runs.ts'

const environment = {}
const deadlineMs = 30_000

function synced(outcome: SyncOutcome | undefined): SyncedRun {
  assert.ok(outcome !== undefined && isSynced(outcome), JSON.stringify(outcome))
  return outcome
}

describe('syncRuns', () => {
  let root: string
  let server: IdentityServer

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'tracelet-sync-runs-'))
    server = await IdentityServer.start()
  })
  afterEach(async () => {
    await server.stop()
    rmSync(root, { recursive: true, force: true })
  })

  test('many runs are open at once, never more than asked for, and each ends with its own sums', async () => {
    const folders = manyRuns(root, 20, { identity: server.url })
    let open = 0
    let most = 0
    const outcomes = await syncRuns(folders, {
      ...{ deadlineMs, environment, parallel: 4 },
      onStart: () => (most = Math.max(most, ++open)),
      onEnd: () => open--,
    })
    assert.equal(most, 4)
    assert.deepEqual(
      outcomes.map(({ folder }) => folder),
      folders,
    )
    for (const outcome of outcomes) {
      const { identity, local } = synced(outcome).destinations
      assert.equal(identity!.complete, true)
      assert.deepEqual(identity!.sent, { points: POINTS_PER_RUN, records: RECORDS_PER_RUN })
      assert.deepEqual(identity!.alreadyThere, { points: 0, records: 0 })
      assert.deepEqual(local!.alreadyThere, { points: POINTS_PER_RUN, records: RECORDS_PER_RUN })
      assert.deepEqual(local!.sent, { points: 0, records: 0 })
    }
  })

  test('what a run owes is sent where it is owed; where it is not, nothing is guarded, opened or asked', async () => {
    const offset = await OffsetServer.start()
    try {
      const folders = manyRuns(root, 3, { identity: server.url, offset: offset.url })
      await syncRuns(folders, { deadlineMs, environment, destinations: ['identity'] })
      const { requests } = server
      const guard = takeGuard(folders[0]!, 'deliver-identity')
      const outcomes = await syncRuns(folders, { deadlineMs, environment })
      guard.release()
      assert.equal(server.requests, requests)
      for (const outcome of outcomes) {
        const { identity, offset: other } = synced(outcome).destinations
        assert.deepEqual([identity!.complete, identity!.sent.points], [true, 0])
        assert.equal(identity!.alreadyThere.points, POINTS_PER_RUN)
        assert.deepEqual([other!.complete, other!.sent.points], [true, POINTS_PER_RUN])
        assert.equal(identity!.url, `fake:/runs/${synced(outcome).run}`)
        assert.equal(identity!.state, 'closed')
      }
      for (const folder of folders) rmSync(join(folder, 'guards'), { recursive: true })
      await syncRuns(folders, { deadlineMs, environment })
      assert.ok(folders.every((folder) => !existsSync(join(folder, 'guards'))))
    } finally {
      await offset.stop()
    }
  })

  test('an account that takes nothing is asked no more by those that come later, and each is told why', async () => {
    const closed = await IdentityServer.start('a token that nobody has')
    try {
      const folders = manyRuns(root, 30, { identity: closed.url })
      const outcomes = await syncRuns(folders, { deadlineMs, environment, parallel: 4 })
      // those of the first window may be under way together
      assert.ok(closed.requests <= 4, `${closed.requests} requests`)
      for (const outcome of outcomes) {
        const { identity } = synced(outcome).destinations
        assert.deepEqual([identity!.complete, identity!.pending], [false, POINTS_PER_RUN])
      }
      assert.equal(synced(outcomes[0]).destinations.identity!.code, 'ERR_AUTH')
    } finally {
      await closed.stop()
    }
  })

  test('a run that waits for a backend in trouble gives its place to others, and comes again', async () => {
    const away = await IdentityServer.start()
    const { url } = away
    await away.stop()
    const [stuck] = manyRuns(join(root, 'a'), 1, { identity: url })
    const others = manyRuns(join(root, 'b'), 3, { identity: server.url }).slice(1)
    const ended: string[] = []
    let back: IdentityServer | undefined
    const listening = new Promise<void>((resolve) => {
      const onEnd = ({ folder }: SyncOutcome) => {
        ended.push(folder)
        if (ended.length === 2)
          resolve(IdentityServer.start(undefined, Number(new URL(url).port)).then((one) => void (back = one)))
      }
      void syncRuns([stuck!, ...others], {
        deadlineMs,
        environment,
        parallel: 1,
        giveWayMs: 100,
        onEnd,
      }).then((outcomes) => {
        const { identity } = synced(outcomes[0]).destinations
        assert.deepEqual([identity!.complete, identity!.sent.points], [true, POINTS_PER_RUN])
      })
    })
    await listening
    while (ended.length < 3) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(ended, [...others, stuck])
    assert.equal(back!.runs.get('run-00000')?.points.size, POINTS_PER_RUN)
    await back!.stop()
  })

  test('a run in trouble is ended when patience is', async () => {
    const { url } = server
    await server.stop()
    const folders = manyRuns(root, 2, { identity: url })
    const since = performance.now()
    const outcomes = await syncRuns(folders, { deadlineMs: 600_000, environment, patienceMs: 500 })
    assert.ok(performance.now() - since < 60_000)
    for (const outcome of outcomes) {
      const { identity } = synced(outcome).destinations
      assert.equal(identity!.complete, false)
      assert.match(identity!.reason, /does not answer/)
      assert.equal(identity!.code, 'ERR_UNREACHABLE')
    }
    server = await IdentityServer.start(undefined, Number(new URL(url).port))
  })

  test('two folders of one run are never open at once', async () => {
    const [folder] = manyRuns(join(root, 'a'), 1, { identity: server.url })
    cpSync(join(root, 'a'), join(root, 'b'), { recursive: true })
    const copy = folder!.replace(join(root, 'a'), join(root, 'b'))
    let open = 0
    const outcomes = await syncRuns([folder!, copy], {
      ...{ deadlineMs, environment },
      onStart: () => assert.equal(++open, 1),
      onEnd: () => open--,
    })
    assert.ok(outcomes.every((outcome) => synced(outcome).destinations.identity!.complete))
    assert.equal(server.runs.get('run-00000')?.points.size, POINTS_PER_RUN)
  })

  test('what is told of a run names it, and ends with it', async () => {
    const folders = manyRuns(root, 3, { identity: server.url })
    const told: FromDelivery[] = []
    await syncRuns(folders, { deadlineMs, environment, onMessage: (message) => told.push(message) })
    const closed = told.flatMap((message) => (message.type === 'closed' ? [message.run] : []))
    assert.deepEqual(closed.sort(), ['run-00000', 'run-00001', 'run-00002'])
  })

  test('a stop lets what is under way end, begins nothing, and leaves the rest for the next sync', async () => {
    const folders = manyRuns(root, 12, { identity: server.url })
    const ended: SyncOutcome[] = []
    const syncer = new RunSyncer({
      ...{ deadlineMs, environment, parallel: 2 },
      onEnd: (outcome) => ended.push(outcome),
      onStart: () => void (stopped ??= syncer.stop(20_000)),
    })
    let stopped: Promise<void> | undefined
    for (const folder of folders) syncer.add(folder)
    while (stopped === undefined) await new Promise(setImmediate)
    await stopped
    assert.ok(ended.length >= 1 && ended.length <= 2, `${ended.length} have ended`)
    assert.ok(ended.every((outcome) => synced(outcome).destinations.identity!.complete))
    const rest = await syncRuns(folders, { deadlineMs, environment })
    assert.ok(rest.every((outcome) => synced(outcome).destinations.identity!.complete))
    assert.equal(server.runs.size, 12)
  })

  test('a run that had given way when it was stopped is told with what it got through', async () => {
    const away = await IdentityServer.start()
    const { url } = away
    await away.stop()
    const [stuck] = manyRuns(join(root, 'a'), 1, { identity: server.url, offset: url })
    const others = manyRuns(join(root, 'b'), 2, { offset: url }).slice(1)
    let begun = 0
    const outcomes = new Map<string, SyncOutcome>()
    const syncer = new RunSyncer({
      ...{ deadlineMs, environment, parallel: 1, giveWayMs: 100 },
      onEnd: (outcome) => outcomes.set(outcome.folder, outcome),
      onStart: () => {
        if (++begun === 2) stopped = syncer.stop(0)
      },
    })
    let stopped: Promise<void> | undefined
    for (const folder of [stuck!, ...others]) syncer.add(folder)
    while (stopped === undefined) await new Promise(setImmediate)
    await stopped
    const { identity, offset } = synced(outcomes.get(stuck!)).destinations
    assert.deepEqual([identity!.complete, identity!.sent.points], [true, POINTS_PER_RUN])
    assert.deepEqual([offset!.complete, offset!.pending], [false, POINTS_PER_RUN])
  })

  test('a folder that cannot be written is its own outcome', {
    skip: process.getuid?.() === 0 && 'for root there is none',
  }, async () => {
    const folders = manyRuns(root, 2, { identity: server.url })
    chmodSync(folders[0]!, 0o500)
    const [bad, good] = await syncRuns(folders, { deadlineMs: 2_000, environment })
    chmodSync(folders[0]!, 0o700)
    assert.equal(synced(bad).destinations.identity!.complete, false)
    assert.equal(synced(good).destinations.identity!.complete, true)
    assert.ok(!readdirSync(folders[0]!).includes('guards'))
  })
})
