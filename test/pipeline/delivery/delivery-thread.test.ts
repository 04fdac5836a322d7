import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { monotonicNow } from '../../../src/core/clock.ts'
import { CURSOR_WORDS, createCounters, DESTINATION, destinationCounters } from '../../../src/core/counters.ts'
import type { FromDelivery, ToDelivery } from '../../../src/pipeline/messages.ts'
import { workerEnvironment, workerUrl } from '../../../src/pipeline/worker-url.ts'
import { createControl } from '../../../src/ring/layout.ts'
import { runProgram, temporaryFolder } from '../../run/program.ts'
import { writeBlob } from '../../sinks/blobs.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { fakeModule, RunFolder } from './run-folder.ts'

const PATIENCE_MS = 10_000

/** The delivery thread as the drain thread sees it. */
class Thread {
  readonly idle = new Int32Array(new SharedArrayBuffer(4))
  readonly told: FromDelivery[] = []
  readonly #pool: Piscina
  readonly #port: MessagePort
  #heard: () => void = () => {}

  constructor() {
    this.#pool = new Piscina({
      filename: workerUrl('../../../src/pipeline/delivery-entry', import.meta.url, 'commonjs').href,
      minThreads: 1,
      maxThreads: 1,
      atomics: 'disabled',
      execArgv: [],
      env: workerEnvironment(),
    })
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    port1.on('message', (message: FromDelivery) => {
      this.told.push(message)
      this.#heard()
    })
    const start = { port: port2, idle: this.idle.buffer, control: createControl(), epoch: 0 }
    // The task must return: one that stays keeps the process alive.
    this.started = this.#pool.run(start, { transferList: [port2] })
  }

  readonly started: Promise<unknown>

  post(message: ToDelivery): void {
    this.#port.postMessage(message)
  }

  /** What the drain thread does after an append. */
  appended(): void {
    if (Atomics.load(this.idle, 0) !== 0) this.post({ type: 'wake' })
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS
    while (!holds()) {
      assert.ok(performance.now() < end, `${what}; told: ${JSON.stringify(this.told)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 5)
        this.#heard = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async end(): Promise<void> {
    this.post({ type: 'stop' })
    await once(this.#port, 'close')
    await this.#pool.destroy()
  }
}

describe('the delivery thread', () => {
  let thread: Thread
  let identity: IdentityServer
  let offset: OffsetServer
  const folders: RunFolder[] = []

  function openRun(id: string): { folder: RunFolder; counters: SharedArrayBuffer } {
    const counters = createCounters(3)
    const destinations = [
      { name: 'identity', kind: 'identity', module: fakeModule('identity'), options: { url: identity.url } },
      { name: 'offset', kind: 'offset', module: fakeModule('offset'), options: { url: offset.url } },
      { name: 'local', kind: 'local', options: {} },
    ]
    const folder = new RunFolder(id, destinations, counters)
    folders.push(folder)
    const specs = destinations.map((one, index) => ({ ...one, index }))
    thread.post({ type: 'open', order: { run: folder.run, counters, live: true, destinations: specs } })
    return { folder, counters }
  }
  const closedOf = (run: string) =>
    thread.told.filter((message) => message.type === 'closed').filter((message) => message.run === run)

  beforeEach(async () => {
    thread = new Thread()
    identity = await IdentityServer.start()
    offset = await OffsetServer.start()
  })
  afterEach(async () => {
    await thread.end()
    await Promise.all([identity.stop(), offset.stop()])
    for (const folder of folders.splice(0)) folder.remove()
  })

  test('its task returns at once, then it follows journals as they grow', async () => {
    await thread.started
    const { folder, counters } = openRun('live-1')
    await thread.until('opened', () => identity.runs.has('live-1') && offset.runs.has('live-1'))
    for (let frame = 0; frame < 20; frame++) {
      folder.rows(frame * 50, 50)
      thread.appended()
      if (frame % 5 === 0) {
        await thread.until('frame', () => identity.runs.get('live-1')!.points.size === folder.points)
      }
    }
    folder.record({ kind: 'state', state: 'finished', time: 1 })
    thread.appended()
    thread.post({ type: 'finish', run: 'live-1', deadlineAt: monotonicNow() + 20_000 })
    await thread.until('closed', () => closedOf('live-1').length === 3)
    assert.ok(closedOf('live-1').every(({ complete }) => complete))
    assert.equal(offset.points('live-1').length, 2_000)
    assert.equal(offset.runs.get('live-1')?.outcome, 'finished')
    for (const index of [0, 1, 2]) {
      const block = destinationCounters(counters, index)
      assert.equal(block[DESTINATION.delivered], 2_000)
      assert.equal(block[DESTINATION.recordsDelivered], 1)
      assert.equal(block[DESTINATION.seq], 2_001)
    }
  })

  test('while nothing grows it raises IDLE, and a wake is all it needs', async () => {
    const { folder } = openRun('live-2')
    await thread.until('idle', () => Atomics.load(thread.idle, 0) === 1)
    folder.rows(0, 100)
    thread.post({ type: 'wake' })
    await thread.until('delivered', () => identity.runs.get('live-2')?.points.size === 200)
    await thread.until('idle again', () => Atomics.load(thread.idle, 0) === 1)
  })

  test('a dead backend holds up neither its siblings nor other runs, and its close comes by the deadline', async () => {
    offset.failNext('hang', 'live-3')
    const { folder } = openRun('live-3')
    const other = openRun('live-4')
    folder.rows(0, 500).rows(500, 10)
    other.folder.rows(0, 500).rows(500, 10)
    thread.appended()
    await thread.until('siblings', () => identity.runs.get('live-3')?.points.size === 1_020)
    await thread.until('the other run', () => identity.runs.get('live-4')?.points.size === 1_020)
    const deadlineAt = monotonicNow() + 800
    thread.post({ type: 'finish', run: 'live-3', deadlineAt })
    thread.post({ type: 'finish', run: 'live-4', deadlineAt })
    await thread.until('closed', () => closedOf('live-3').length + closedOf('live-4').length === 6)
    assert.ok(monotonicNow() < deadlineAt + 100)
    const incomplete = [...closedOf('live-3'), ...closedOf('live-4')].filter(({ complete }) => !complete)
    assert.deepEqual(
      incomplete.map(({ destination }) => destination),
      ['offset'],
    )
    assert.match(incomplete[0]!.reason, /deadline/)
  })

  test('an upload that hangs holds up neither scalars nor the end of its run; runs without uploads make no files', async () => {
    identity.failNextUpload('hang')
    const { folder, counters } = openRun('live-5')
    const plain = openRun('live-6')
    plain.folder.record({ kind: 'params', params: { a: 1 } }).rows(0, 100)
    const files = [{ path: 'a', blob: writeBlob(folder.run.folder, 'bytes') }]
    folder.rows(0, 50).record({ kind: 'artifact', name: 'data', type: 'x', time: 1, files, bytes: 5 })
    thread.appended()
    const uploads = destinationCounters(counters, 0).subarray(CURSOR_WORDS)
    await thread.until('the file is known', () => uploads[DESTINATION.filesKnown] === 1)
    folder.rows(50, 100).record({ kind: 'state', state: 'finished', time: 1 })
    thread.appended()
    const deadlineAt = monotonicNow() + 1_500
    for (const run of ['live-5', 'live-6']) thread.post({ type: 'finish', run, deadlineAt })
    await thread.until('the end', () => identity.runs.get('live-5')?.outcome === 'finished')
    assert.equal(identity.runs.get('live-5')?.points.size, 300)
    assert.ok(monotonicNow() < deadlineAt - 300, 'long before the deadline')
    await thread.until('closed', () => closedOf('live-5').length + closedOf('live-6').length === 6)
    assert.ok(monotonicNow() < deadlineAt + 100)
    const open = closedOf('live-5').filter(({ complete }) => !complete)
    assert.deepEqual(
      open.map(({ destination }) => destination),
      ['identity'],
    )
    assert.ok(closedOf('live-6').every(({ complete }) => complete))
    const kept = readdirSync(join(plain.folder.run.folder, 'cursors'))
    assert.ok(!kept.some((name) => name.includes('uploads')), `${kept}`)
  })

  test('more runs than may be open at once all arrive', async () => {
    const runs = Array.from({ length: 80 }, (_, index) => openRun(`many-${index}`))
    for (const { folder } of runs) folder.rows(0, 20)
    thread.appended()
    await thread.until('all', () =>
      runs.every(({ folder }) => identity.runs.get(folder.run.id)?.points.size === 40),
    )
    // and again, when most of them have been parked
    for (const { folder } of runs) folder.rows(20, 5)
    thread.appended()
    const deadlineAt = monotonicNow() + 30_000
    for (const { folder } of runs) thread.post({ type: 'finish', run: folder.run.id, deadlineAt })
    await thread.until('closed', () => runs.every(({ folder }) => closedOf(folder.run.id).length === 3))
    assert.ok(thread.told.every((message) => message.type !== 'closed' || message.complete))
    for (const { folder } of runs) {
      assert.equal(identity.runs.get(folder.run.id)?.points.size, 50)
      assert.equal(offset.points(folder.run.id).length, 50)
    }
    assert.equal(offset.gaps + offset.conflicts, 0)
  })
})

test('a delivery thread may be terminated at any instant of its start', async (context) => {
  // Node itself aborts the process when that happens while an ES module is linked on behalf of `require`.
  const entry = workerUrl('../../../src/pipeline/delivery-entry', import.meta.url, 'commonjs')
  const program = async (_: unknown, { args }: { args: readonly string[] }) => {
    const { Worker } = await import('node:worker_threads')
    for (let start = 0; start < 60; start++) {
      const thread = new Worker(`require(${JSON.stringify(args[0])})({})`, { eval: true })
      thread.on('error', () => {})
      await new Promise((resolve) => setTimeout(resolve, 10 + 2 * start))
      await thread.terminate()
    }
  }
  const ended = await runProgram(temporaryFolder(context), program, [fileURLToPath(entry)])
  assert.equal(ended.code, 0, ended.stderr)
})
