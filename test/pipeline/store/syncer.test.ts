import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fstatSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Syncer, type SyncReport } from '../../../src/pipeline/store/syncer.ts'

const EXTENSION = extname(import.meta.url)
const IS_LINUX = process.platform === 'linux'

describe('Syncer', () => {
  let folder = ''
  let syncer: Syncer<string>
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-sync-'))
    syncer = new Syncer<string>()
  })
  afterEach(() => {
    syncer.stop()
    rmSync(folder, { recursive: true })
  })
  const open = (name: string) => openSync(join(folder, name), 'a')
  /** The next reports, at a time of the test's choosing. */
  function settle(now: number): SyncReport<string>[] {
    const deadline = Date.now() + 10_000
    for (;;) {
      const reports = syncer.poll(now)
      if (reports.length > 0) return reports
      assert.ok(Date.now() < deadline, 'the sync thread does not answer')
    }
  }

  it('syncs what has been dirty for the interval, once, and not before', () => {
    const fd = open('a')
    syncer.dirty(fd, 'a', writeSync(fd, 'one'), 1000)
    syncer.dirty(fd, 'a', writeSync(fd, 'four') + 3, 1400)
    assert.equal(syncer.dueInMs(1400), 100)
    assert.equal(syncer.unsyncedSince(fd), 1000)
    assert.deepEqual(syncer.poll(1499), [])
    assert.equal(syncer.dueInMs(1499), 1)
    assert.equal(syncer.dueInMs(1600), 0)
    const reports = settle(1500)
    assert.deepEqual(
      reports.map(({ id, fd, syncedBytes, failure }) => ({ id, fd, syncedBytes, failure })),
      [{ id: 'a', fd, syncedBytes: 7, failure: '' }],
    )
    assert.equal(syncer.isBusy, false)
    assert.equal(syncer.isClean(fd), true)
    assert.equal(syncer.unsyncedSince(fd), 0)
    assert.equal(syncer.dueInMs(9999), Infinity)
    syncer.closeAfterSync(fd)
  })

  it('Y3 vouches only for bytes named before it asked', () => {
    const fd = open('a')
    syncer.dirty(fd, 'a', 10, 0)
    syncer.poll(500)
    assert.ok(syncer.dueInMs(500) <= 10, 'an answer is under way and nobody would look for it')
    syncer.dirty(fd, 'a', 20, 510)
    const [first] = settle(520)
    assert.equal(first!.syncedBytes, 10)
    assert.equal(syncer.isClean(fd), false)
    assert.equal(syncer.unsyncedSince(fd), 510)
    assert.deepEqual(syncer.poll(1009), [])
    const [second] = settle(1010)
    assert.equal(second!.syncedBytes, 20)
    syncer.closeAfterSync(fd)
  })

  it('takes the oldest first', () => {
    const files = Array.from({ length: 30 }, (_, index) => ({
      fd: open(`f${index}`),
      since: (index * 7) % 30,
    }))
    for (const { fd, since } of files.toSorted((a, b) => a.fd - b.fd)) syncer.dirty(fd, `${since}`, 1, since)
    const order: string[] = []
    while (order.length < files.length) order.push(...settle(1000).map(({ id }) => id))
    assert.deepEqual(
      order,
      Array.from({ length: 30 }, (_, index) => `${index}`),
    )
    for (const { fd } of files) syncer.closeAfterSync(fd)
  })

  it('syncNow does not wait for the interval', () => {
    const fd = open('a')
    syncer.dirty(fd, 'a', 5, 0)
    assert.deepEqual(syncer.poll(1), [])
    syncer.syncNow(fd)
    assert.equal(settle(2)[0]!.syncedBytes, 5)
    syncer.syncNow(fd)
    assert.equal(syncer.isBusy, false)
    syncer.closeAfterSync(fd)
  })

  it('Y2 closes a clean descriptor at once, a dirty one with its answer', () => {
    const [clean, dirty] = [open('clean'), open('dirty')]
    syncer.closeAfterSync(clean)
    assert.equal(isOpen(clean), false)
    syncer.dirty(dirty, 'dirty', 9, 0)
    syncer.closeAfterSync(dirty)
    assert.equal(isOpen(dirty), true)
    assert.equal(settle(1)[0]!.syncedBytes, 9)
    assert.equal(isOpen(dirty), false)
    assert.equal(syncer.isBusy, false)
  })

  it('Y2 syncs what came while a sync was under way before it closes', () => {
    const fd = open('a')
    syncer.dirty(fd, 'a', 1, 0)
    syncer.poll(500)
    syncer.dirty(fd, 'a', 2, 501)
    syncer.closeAfterSync(fd)
    const bytes: number[] = []
    while (bytes.length < 2) {
      assert.equal(isOpen(fd), true)
      bytes.push(...syncer.poll(502).map(({ syncedBytes }) => syncedBytes))
    }
    assert.deepEqual(bytes, [1, 2])
    assert.equal(isOpen(fd), false)
  })

  it('Y4 reports a failure once and never asks for that descriptor again', {
    skip: !IS_LINUX && 'needs /dev/null',
  }, () => {
    const fd = openSync('/dev/null', 'a')
    syncer.dirty(fd, 'null', 8, 0)
    const [report] = settle(500)
    assert.equal(report!.syncedBytes, 8)
    assert.match(report!.failure, /EINVAL/)
    syncer.dirty(fd, 'null', 16, 600)
    assert.equal(syncer.isBusy, false)
    assert.deepEqual(syncer.drain(50), [])
    syncer.closeAfterSync(fd)
    assert.equal(isOpen(fd), false)
  })

  it('a failure costs that file only, and its closing is not held up by it', {
    skip: !IS_LINUX && 'needs /dev/null',
  }, () => {
    const [bad, good] = [openSync('/dev/null', 'a'), open('good')]
    syncer.dirty(bad, 'bad', 1, 0)
    syncer.dirty(good, 'good', 2, 1)
    syncer.closeAfterSync(bad)
    const reports = syncer.drain(10_000)
    assert.deepEqual(
      reports.map(({ id, failure }) => [id, failure !== '']),
      [
        ['bad', true],
        ['good', false],
      ],
    )
    assert.equal(isOpen(bad), false)
    syncer.closeAfterSync(good)
  })

  it('syncs folders too, and bears one that is gone', () => {
    syncer.dirtyFolder(folder)
    syncer.dirtyFolder(join(folder, 'nowhere'))
    assert.equal(syncer.isBusy, true)
    assert.deepEqual(syncer.drain(10_000), [])
    assert.equal(syncer.isBusy, false)
  })

  it('drain waits for everything, but not beyond its time', () => {
    const fds = Array.from({ length: 40 }, (_, index) => open(`f${index}`))
    for (const fd of fds) syncer.dirty(fd, `${fd}`, writeSync(fd, 'x'))
    assert.ok(syncer.drain(0).length < fds.length)
    assert.equal(syncer.isBusy, true)
    syncer.drain(10_000)
    assert.equal(syncer.isBusy, false)
    assert.ok(fds.every((fd) => syncer.isClean(fd)))
    for (const fd of fds) syncer.closeAfterSync(fd)
    assert.ok(fds.every((fd) => !isOpen(fd)))
  })

  it('stop closes what was to be closed and can be called twice', () => {
    const fd = open('a')
    syncer.dirty(fd, 'a', 1, 0)
    const waiting = Array.from({ length: 20 }, (_, index) => open(`w${index}`))
    for (const one of waiting) syncer.dirty(one, 'w', 1, 0)
    for (const one of waiting) syncer.closeAfterSync(one)
    syncer.stop()
    syncer.stop()
    assert.equal(isOpen(waiting.at(-1)!), false)
    assert.equal(isOpen(fd), true)
  })

  it('Y1 works while neither its owner nor the main thread turns an event loop', async () => {
    const done = new Int32Array(new SharedArrayBuffer(4))
    const owner = new Worker(new URL(`./syncer-owner${EXTENSION}`, import.meta.url), {
      workerData: { path: join(folder, 'a'), rounds: 20, done },
    })
    const deadline = Date.now() + 20_000
    for (let seen = 0; seen < 20; seen = Atomics.load(done, 0)) {
      Atomics.wait(done, 0, seen, 1000)
      assert.ok(Date.now() < deadline, `${seen} of 20 rounds were synced`)
    }
    await owner.terminate()
  })

  it('its thread ends with a blocked owner', { skip: !IS_LINUX && 'needs /proc' }, async () => {
    const owner = new URL(`./syncer-owner${EXTENSION}`, import.meta.url)
    const output = await runScript(`
      import { once } from 'node:events'
      import { readdirSync } from 'node:fs'
      import { readFile } from 'node:fs/promises'
      import { Worker } from 'node:worker_threads'
      await readFile('/dev/null') // so that the pool's threads are there before any is counted
      const threads = () => readdirSync('/proc/self/task').length
      const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1)) }
      const before = threads()
      const done = new Int32Array(new SharedArrayBuffer(4))
      const owner = new Worker(new URL(${JSON.stringify(owner.href)}), {
        workerData: { path: ${JSON.stringify(join(folder, 'a'))}, rounds: 1, done },
        execArgv: [],
      })
      await until(() => Atomics.load(done, 0) === 1)
      const during = threads()
      await owner.terminate()
      await until(() => threads() === before)
      console.log(during - before)`)
    assert.equal(output, '2\n')
  })

  it('keeps no process alive, even with bytes dirty and under way', async () => {
    const module = new URL(`../../../src/pipeline/store/syncer${EXTENSION}`, import.meta.url)
    const output = await runScript(`
      import { openSync, writeSync } from 'node:fs'
      import { Syncer } from ${JSON.stringify(module.href)}
      const syncer = new Syncer()
      const fd = openSync(${JSON.stringify(join(folder, 'a'))}, 'a')
      syncer.dirty(fd, 'a', writeSync(fd, 'x'))
      syncer.syncNow(fd)
      syncer.dirty(fd, 'a', 2)
      let ended = 0
      process.on('exit', () => console.log(performance.now() - ended < 1000))
      setTimeout(() => { ended = performance.now() }, 50)`)
    assert.equal(output, 'true\n')
  })

  it('keeps its promises under any order of calls', () => {
    const seed = 20261123
    let state = seed
    const next = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    /** By name: descriptor (-1 when handed over), bytes named, bytes vouched for. */
    const files = new Map<string, { fd: number; named: number; synced: number }>()
    const check = (reports: readonly SyncReport<string>[]) => {
      for (const { id, syncedBytes, failure } of reports) {
        const file = files.get(id)!
        assert.equal(failure, '', `seed ${seed}`)
        assert.ok(syncedBytes > file.synced && syncedBytes <= file.named, `seed ${seed}`)
        file.synced = syncedBytes
      }
    }
    let now = 0
    for (let turn = 0, made = 0; turn < 3000; turn++) {
      now += next(40)
      const alive = [...files].filter(([, { fd }]) => fd >= 0)
      const [id, file] = alive[next(alive.length)] ?? []
      const action = next(10)
      if (action === 0 || file === undefined) {
        const name = `f${made++}`
        files.set(name, { fd: open(name), named: 0, synced: 0 })
      } else if (action < 6) {
        file.named += writeSync(file.fd, 'x'.repeat(1 + next(5000)))
        syncer.dirty(file.fd, id!, file.named, now)
      } else if (action === 6) {
        syncer.syncNow(file.fd)
      } else if (action === 7) {
        syncer.closeAfterSync(file.fd)
        file.fd = -1
      } else {
        check(syncer.poll(now))
      }
    }
    check(syncer.drain(20_000))
    assert.equal(syncer.isBusy, false, `seed ${seed}`)
    for (const [id, { fd, named, synced }] of files) {
      assert.equal(synced, named, `${id}, seed ${seed}`)
      if (fd >= 0) syncer.closeAfterSync(fd)
    }
    if (IS_LINUX) assert.equal(openIn(folder), 0, `seed ${seed}`)
  })
})

/** Output of a process that runs a module and must end by itself within 20 s. */
async function runScript(script: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 20_000,
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const [code, signal] = await once(child, 'close')
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, output)
  return output
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

/** Descriptors of this process that are open on files in a folder. */
function openIn(folder: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder)
    } catch {
      return false
    }
  }).length
}
