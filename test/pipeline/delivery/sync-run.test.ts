import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { DestinationStats, RunRecord } from '../../../src/core/types.ts'
import type { FromDelivery } from '../../../src/pipeline/messages.ts'
import { CursorStore, uploadsName } from '../../../src/pipeline/store/cursor.ts'
import { readDeadLetters } from '../../../src/pipeline/store/dead-letters.ts'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { writeBlob } from '../../sinks/blobs.ts'
import { IdentityServer, REFUSED_NAME } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { fakeModule, RunFolder } from './run-folder.ts'
import { syncRun } from './sync-run.ts'

const TOKEN = 'secret-token'
const environment = { TRACELET_FAKE_TOKEN: TOKEN }
const PARAMS: RunRecord = { kind: 'params', params: { lr: 0.1 } }
const DONE: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }

function assertConserved(stats: DestinationStats, points: number, records: number): void {
  const { delivered, filtered, rejected, corrupt, pending } = stats
  assert.equal(delivered + filtered + rejected + corrupt + pending, points)
  const of = stats.records
  assert.equal(of.delivered + of.filtered + of.rejected + of.corrupt + of.pending, records)
}

describe('syncRun', () => {
  let identity: IdentityServer
  let offset: OffsetServer
  let folder: RunFolder

  beforeEach(async () => {
    identity = await IdentityServer.start(TOKEN)
    offset = await OffsetServer.start(TOKEN)
    folder = new RunFolder('run-a', [
      { name: 'identity', kind: 'identity', module: fakeModule('identity'), options: { url: identity.url } },
      { name: 'offset:team', kind: 'offset', module: fakeModule('offset'), options: { url: offset.url } },
      { name: 'local', kind: 'local', options: {} },
    ])
  })
  afterEach(async () => {
    await Promise.all([identity.stop(), offset.stop()])
    folder.remove()
  })

  test('delivers a run at rest to all its destinations, credentials taken from the environment', async () => {
    folder.record(PARAMS).rows(0, 700).rows(700, 800).record(DONE).close()
    const { destinations, journaled } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(journaled, 3_000)
    for (const stats of Object.values(destinations)) {
      assert.equal(stats.reason, '')
      assert.equal(stats.complete, true)
      assert.equal(stats.delivered, 3_000)
      assert.equal(stats.records.delivered, 2)
      assertConserved(stats, 3_000, 2)
    }
    assert.equal(identity.runs.get('run-a')?.points.size, 3_000)
    assert.deepEqual(
      offset.points('run-a').map(({ step }) => step),
      Array.from({ length: 3_000 }, (_, index) => index >> 1),
    )
    assert.equal(offset.gaps + offset.conflicts, 0)
    assert.equal(identity.runs.get('run-a')?.outcome, 'finished')
    assert.equal(destinations.identity?.url, 'fake:/runs/run-a')
  })

  test('goes on where it stopped, and sends nothing twice', async () => {
    folder.rows(0, 300).close()
    await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    const { requests } = identity
    const again = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(again.destinations.identity?.delivered, 600)
    assert.equal(identity.requests, requests)
    assert.equal(offset.points('run-a').length, 600)
  })

  test('a server that is away leaves everything pending until the deadline, then the next sync sends it', async () => {
    folder.rows(0, 300).record(DONE).close()
    const { url } = identity
    await identity.stop()
    const start = performance.now()
    const told: FromDelivery[] = []
    const { destinations } = await syncRun(folder.run.folder, {
      deadlineMs: 2_500,
      environment,
      onMessage: (message) => told.push(message),
    })
    assert.ok(performance.now() - start < 3_000)
    assert.equal(destinations.identity?.complete, false)
    assert.equal(destinations.identity?.pending, 600)
    assert.equal(destinations.identity?.records.pending, 1)
    assert.match(destinations.identity!.reason, /deadline.*; .*does not answer/)
    assert.equal(destinations['offset:team']?.complete, true)
    assert.ok(told.some((message) => message.type === 'issue' && message.severity === 'failing'))
    identity = await IdentityServer.start(TOKEN, Number(new URL(url).port))
    const { destinations: later } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(later.identity?.complete, true)
    assertConserved(later.identity!, 600, 1)
  })

  test('wrong credentials block, are told without the secret, and keep the cursor', async () => {
    folder.rows(0, 10).close()
    const told: FromDelivery[] = []
    const { destinations } = await syncRun(folder.run.folder, {
      destinations: ['identity'],
      deadlineMs: 20_000,
      environment: { TRACELET_FAKE_TOKEN: 'wrong-secret' },
      onMessage: (message) => told.push(message),
    })
    assert.deepEqual(Object.keys(destinations), ['identity'])
    assert.equal(destinations.identity?.complete, false)
    assert.match(destinations.identity!.reason, /401/)
    assert.ok(!JSON.stringify(told).includes('wrong-secret'))
    assert.ok(told.some((message) => message.type === 'issue' && message.issue.code === 'ERR_AUTH'))
  })

  test('another process that delivers the run is named; its destination stays pending', async () => {
    folder.rows(0, 10).close()
    const guard = takeGuard(folder.run.folder, 'deliver-identity')
    const { destinations } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(destinations.identity?.complete, false)
    assert.match(destinations.identity!.reason, new RegExp(`${process.pid}`))
    assert.equal(destinations['offset:team']?.complete, true)
    guard.release()
  })

  test('a destination that the run has not is refused with a suggestion, a module that is gone is told of', async () => {
    folder.rows(0, 10).close()
    await assert.rejects(
      syncRun(folder.run.folder, { destinations: ['identty'], deadlineMs: 1_000, environment }),
      { code: 'ERR_OPTION', message: /did you mean 'identity'/ },
    )
    const broken = new RunFolder('run-b', [{ name: 'x', kind: 'x', module: '/nowhere/sink.js', options: {} }])
    broken.rows(0, 1).close()
    const { destinations } = await syncRun(broken.run.folder, { deadlineMs: 1_000, environment })
    broken.remove()
    assert.equal(destinations.x?.complete, false)
    assert.match(destinations.x!.reason, /nowhere/)
  })

  test('uploads go out beside the rows, are counted apart, and are not sent twice', async () => {
    const files = ['a', 'c', 'd/b'].map((path) => ({
      path,
      blob: writeBlob(folder.run.folder, `bytes of ${path}`),
    }))
    const artifact: RunRecord = { kind: 'artifact', name: 'data', type: 'x', time: 1, files, bytes: 0 }
    const note: RunRecord = { kind: 'text', name: 'note', step: 1, time: 1, text: 'short' }
    folder.record(PARAMS).rows(0, 300).record(artifact).rows(300, 10).record(note).record(DONE).close()
    const { destinations } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    const { identity: stats, 'offset:team': other } = destinations
    assert.equal(stats?.complete, true)
    assert.deepEqual(
      identity.storedUploads('run-a').map(({ name, files }) => [name, Object.keys(files).sort()]),
      [
        ['data', ['a', 'c', 'd/b']],
        ['note', []],
      ],
    )
    assert.equal(stats?.records.delivered, 4)
    assert.deepEqual(stats?.uploads, { files: { sent: 3, known: 3 }, bytes: { sent: 32, known: 32 } })
    assertConserved(stats!, 620, 4)
    // what a sink takes neither as a record nor as an upload is filtered
    assert.equal(other?.records.filtered, 2)
    assertConserved(other!, 620, 4)
    const { requests } = identity
    const again = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(again.destinations.identity?.complete, true)
    assert.equal(again.destinations.identity?.records.delivered, 4)
    assert.equal(again.destinations.identity?.url, 'fake:/runs/run-a')
    assert.equal(identity.requests, requests)
    const load = (name: string, { url }: { readonly url: string }) =>
      new CursorStore(folder.run.folder, name, () => undefined).load(url)
    const [rows, uploads] = [load('identity', identity), load(uploadsName('identity'), identity)]
    assert.equal(rows?.url, 'fake:/runs/run-a')
    assert.equal(rows?.settled.elsewhere, 2)
    assert.equal(uploads?.settled.recordsDelivered, 2)
    assert.equal(load(uploadsName('offset:team'), offset), undefined)
    assert.deepEqual(readdirSync(join(folder.run.folder, 'guards')), [])
  })

  test('limits that hang on options hold where it is delivered', async () => {
    const module = fakeModule('offset')
    const plain = new RunFolder('run-b', [
      { name: 'plain', kind: 'offset', module, options: { url: offset.url } },
    ])
    const long = new RunFolder('run-c', [
      { name: 'long', kind: 'offset', module, options: { url: offset.url, padding: 4_000 } },
    ])
    for (const { run } of [plain.rows(0, 400).record(DONE).close(), long.rows(0, 400).record(DONE).close()]) {
      const { destinations } = await syncRun(run.folder, { deadlineMs: 20_000, environment })
      assert.deepEqual(
        Object.values(destinations).map(({ complete }) => complete),
        [true],
      )
      assert.equal(offset.points(run.id).length, 800)
    }
    // 200 lines at most, and of the long ones as many as 256 KiB hold; and the run's state
    assert.deepEqual([offset.runs.get('run-b')?.writes, offset.runs.get('run-c')?.writes], [3, 8])
    assert.equal(offset.oversize, 0)
    plain.remove()
    long.remove()
  })

  test('what rows name stands there once and counts once, though its upload comes with a later sync', async () => {
    const naming = new RunFolder('run-b', [
      { name: 'naming', kind: 'naming', module: fakeModule('naming'), options: { url: offset.url } },
    ])
    const files = ['a', 'b'].map((path) => ({ path, blob: writeBlob(naming.run.folder, path) }))
    const artifact = (name: string): RunRecord => ({
      ...{ kind: 'artifact', name, type: 'dataset', time: 1, files, bytes: 2 },
    })
    naming.rows(0, 50).record(artifact('first')).rows(50, 50).record(artifact('second')).record(DONE).close()
    offset.isFull = true
    const options = { deadlineMs: 1_500, environment }
    const { destinations } = await syncRun(naming.run.folder, options)
    assert.equal(destinations.naming?.complete, false)
    assertConserved(destinations.naming!, 200, 3)
    assert.deepEqual(destinations.naming!.records, {
      ...destinations.naming!.records,
      delivered: 1,
      pending: 2,
    })
    const names = [
      { kind: 'artifact', name: 'first' },
      { kind: 'artifact', name: 'second' },
    ]
    assert.deepEqual(offset.mentions('run-b'), names)
    offset.isFull = false
    const { destinations: later } = await syncRun(naming.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(later.naming?.complete, true)
    assertConserved(later.naming!, 200, 3)
    assert.equal(later.naming?.records.delivered, 3)
    assert.deepEqual(offset.mentions('run-b'), names)
    assert.deepEqual(
      offset.storedUploads('run-b').map(({ name }) => name),
      ['first', 'second'],
    )
    assert.equal(offset.points('run-b').length, 200)
    assert.equal(offset.conflicts + offset.gaps, 0)
    naming.remove()
  })

  test('a target without room leaves uploads pending and all else delivered; the next sync sends them', async () => {
    const files = [{ path: 'a', blob: writeBlob(folder.run.folder, 'bytes') }]
    folder.record({ kind: 'artifact', name: 'data', type: 'x', time: 1, files, bytes: 5 })
    folder.rows(0, 300).record(DONE).close()
    identity.isFull = true
    const { destinations } = await syncRun(folder.run.folder, { deadlineMs: 1_500, environment })
    assert.equal(destinations.identity?.complete, false)
    assert.match(destinations.identity!.reason, /507/)
    assert.equal(destinations.identity?.pending, 0)
    assert.equal(destinations.identity?.records.pending, 1)
    assert.equal(identity.runs.get('run-a')?.outcome, 'finished')
    identity.isFull = false
    const { destinations: later } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    assert.equal(later.identity?.complete, true)
    assert.equal(identity.storedUploads('run-a').length, 1)
    assertConserved(later.identity!, 600, 2)
  })

  test('rejected points are in the dead-letter file of the run', async () => {
    folder.rows(0, 3).series(REFUSED_NAME, 3, 4).close()
    const { destinations } = await syncRun(folder.run.folder, { deadlineMs: 20_000, environment })
    const letters = [...readDeadLetters(folder.run.folder)]
    assert.deepEqual(letters.map(({ destination, seq }) => [destination, seq]).sort(), [
      ['identity', 6],
      ['offset:team', 6],
    ])
    for (const name of ['identity', 'offset:team']) {
      assert.equal(destinations[name]?.rejected, 1)
      assertConserved(destinations[name]!, 7, 1)
    }
  })

  test('a folder that is no run is refused', async () => {
    const { folder: path } = folder.run
    folder.close()
    rmSync(path, { recursive: true })
    await assert.rejects(syncRun(path, { deadlineMs: 1_000, environment }), { code: 'ERR_RUN_UNKNOWN' })
  })
})
