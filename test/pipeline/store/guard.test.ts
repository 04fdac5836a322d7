import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { mayBeHeld, readGuards } from '../../../src/pipeline/store/guard-look.ts'

const IS_LINUX = process.platform === 'linux'
const RACERS = 8

describe('guards', () => {
  let folder = ''
  const holders: Holder[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-guard-'))
  })
  afterEach(async () => {
    await Promise.all(holders.splice(0).map((holder) => holder.kill()))
    rmSync(folder, { recursive: true })
  })
  function startHolder(): Holder {
    const holder = new Holder()
    holders.push(holder)
    return holder
  }
  const guards = () => readdirSync(join(folder, 'guards')).sort()

  it('stand in a file for the owner alone and go with their release', () => {
    const guard = takeGuard(folder, 'writer')
    assert.deepEqual(guards(), ['writer.1.json'])
    assert.equal(statSync(guard.path).mode & 0o777, 0o600)
    assert.equal(statSync(join(folder, 'guards')).mode & 0o777, 0o700)
    const content = JSON.parse(readFileSync(guard.path, 'utf8'))
    assert.equal(content.format, 'tracelet-guard')
    assert.equal(content.version, 1)
    assert.equal(content.pid, process.pid)
    assert.equal(content.inode, String(statSync(guard.path, { bigint: true }).ino))
    guard.release()
    guard.release()
    assert.deepEqual(guards(), [])
  })

  it('are refused to the process that holds one, naming it and telling about group', () => {
    const guard = takeGuard(folder, 'writer')
    assert.throws(() => takeGuard(folder, 'writer'), {
      code: 'ERR_RUN_BUSY',
      message: new RegExp(`process ${process.pid} on .*this process.*'group'`),
    })
    guard.release()
    takeGuard(folder, 'writer').release()
  })

  it('of other names do not meet, however alike', () => {
    const names = [
      'writer',
      'deliver-a',
      'deliver-a.1',
      'deliver-A',
      'deliver-mlflow:team',
      'deliver-',
    ] as const
    const taken = names.map((name) => takeGuard(folder, name))
    assert.equal(guards().length, names.length)
    for (const name of names) assert.throws(() => takeGuard(folder, name), { code: 'ERR_RUN_BUSY' })
    for (const guard of taken) guard.release()
    assert.deepEqual(guards(), [])
  })

  it('pass from a thread that has ended to its successor, if it says so', () => {
    const old = takeGuard(folder, 'writer')
    const guard = takeGuard(folder, 'writer', { replaceOwn: true })
    assert.equal(old.touch(), false)
    old.release()
    assert.equal(guard.touch(), true)
    assert.deepEqual(guards(), ['writer.2.json'])
  })

  it('are refused while another process lives and taken over once it was killed', async () => {
    const holder = startHolder()
    assert.equal(await holder.take(folder, 'deliver-mlflow'), 'held')
    assert.throws(() => takeGuard(folder, 'deliver-mlflow', { replaceOwn: true }), {
      code: 'ERR_RUN_BUSY',
      message: new RegExp(`process ${holder.pid} on .*deliver-mlflow`),
    })
    await holder.kill()
    const guard = takeGuard(folder, 'deliver-mlflow')
    assert.deepEqual(guards(), ['deliver-mlflow.2.json'])
    assert.equal(guard.touch(), true)
  })

  it('of a killed process are free before its parent has collected it', {
    skip: !IS_LINUX && 'needs /proc',
  }, async () => {
    const holder = startHolder()
    assert.equal(await holder.take(folder, 'writer'), 'held')
    process.kill(holder.pid, 'SIGKILL')
    // This thread is the parent and does not turn its event loop, so the process stays a zombie.
    while (!/\) Z /.test(readFileSync(`/proc/${holder.pid}/stat`, 'utf8')));
    takeGuard(folder, 'writer').release()
  })

  it('of a process whose number another process has now are dead', {
    skip: !IS_LINUX && 'needs /proc',
  }, async () => {
    const holder = startHolder()
    plant(1, { pid: holder.pid })
    assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' })
    plant(1, { pid: holder.pid, startTime: '12' })
    takeGuard(folder, 'writer').release()
  })

  it('from before this machine was started anew are dead', { skip: !IS_LINUX && 'needs /proc' }, () => {
    plant(1, { pid: 1, startTime: startTimeOf(1), boot: '6cd0a3b5-0000-4000-8000-000000000000' })
    takeGuard(folder, 'writer').release()
  })

  for (const [where, change] of [
    ['on another machine', { host: 'other/other', boot: 'another' }],
    ['in a container whose processes cannot be seen', { pidSpace: 'pid:[1]' }],
  ] as const) {
    it(`of a process ${where} are alive until untouched for five minutes`, () => {
      const path = plant(1, { pid: 2 ** 22 + 1, startTime: '1', hostname: 'node-7', ...change })
      assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY', message: /on node-7/ })
      age(path, 4.5 * 60)
      assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' })
      age(path, 5.5 * 60)
      takeGuard(folder, 'writer').release()
      assert.deepEqual(guards(), [])
    })
  }

  it('that were touched before the clock was set back are dead five minutes after they are met', () => {
    const path = plant(1, { pid: 2 ** 22 + 1, startTime: '1', host: 'other/other', boot: 'another' })
    age(path, -3 * 3600)
    assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' })
    assert.ok(statSync(path).mtimeMs <= Date.now() + 1000, 'it would be held for three hours')
    age(path, 5.5 * 60)
    takeGuard(folder, 'writer').release()
  })

  it('that came with a copied folder count for nothing, and the original stands', () => {
    const guard = takeGuard(folder, 'writer')
    const copy = join(folder, 'copy')
    cpSync(join(folder, 'guards'), join(copy, 'guards'), { recursive: true, preserveTimestamps: true })
    const copied = takeGuard(copy, 'writer')
    assert.deepEqual(readdirSync(join(copy, 'guards')), ['writer.2.json'])
    assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' })
    assert.equal(guard.touch() && copied.touch(), true)
  })

  it('that a crash left without content are taken over after a second', () => {
    for (const remains of ['', '{"format":"trace', '\0'.repeat(300)]) {
      mkdirSync(join(folder, 'guards'), { recursive: true })
      writeFileSync(join(folder, 'guards', 'writer.1.json'), remains)
      const since = performance.now()
      age(join(folder, 'guards', 'writer.1.json'), 2)
      assert.equal(readGuards(folder)[0]!.state, 'stale')
      takeGuard(folder, 'writer').release()
      assert.ok(performance.now() - since >= 950)
    }
  })

  it('that are just being made are waited for', async () => {
    const path = plant(1, { pid: process.pid })
    const content = readFileSync(path)
    writeFileSync(path, '')
    const maker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads')
       parentPort.postMessage('')
       setTimeout(() => require('node:fs').writeFileSync(workerData.path, workerData.content), 200)`,
      { eval: true, workerData: { path, content } },
    )
    await once(maker, 'message')
    assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' })
    await once(maker, 'exit')
  })

  it('of a newer version are borne for five minutes, as nobody can say whether their process lives', () => {
    const path = plant(1, { version: 2 })
    assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY', message: /newer tracelet/ })
    age(path, 5.5 * 60)
    takeGuard(folder, 'writer').release()
  })

  it('with any byte flipped are borne for five minutes and then taken over, also of a process that lives', () => {
    const model = takeGuard(folder, 'writer')
    const content = readFileSync(model.path)
    for (let at = 0; at < content.length; at++) {
      const flipped = Buffer.from(content)
      flipped[at]! ^= 1 << (at % 8)
      writeFileSync(model.path, flipped)
      assert.throws(() => takeGuard(folder, 'writer'), { code: 'ERR_RUN_BUSY' }, `byte ${at}`)
      const [seen] = readGuards(folder)
      assert.ok(mayBeHeld(seen!), `byte ${at}: ${seen!.state}`)
    }
    age(model.path, 5.5 * 60)
    assert.equal(readGuards(folder)[0]!.state, 'stale')
    takeGuard(folder, 'writer').release()
    assert.deepEqual(guards(), [])
  })

  it('that are damaged while they are held are mended by the next touch', () => {
    const guard = takeGuard(folder, 'writer')
    const content = readFileSync(guard.path)
    const damaged = Buffer.from(content)
    damaged[content.indexOf('"version":1') + 10] = '7'.charCodeAt(0)
    writeFileSync(guard.path, damaged)
    assert.equal(guard.touch(), true)
    assert.deepEqual(readFileSync(guard.path), content)
    writeFileSync(guard.path, damaged)
    guard.release()
    assert.deepEqual(guards(), [])
  })

  it('of before, which have no checksum, are read', () => {
    plant(1, { pid: process.pid })
    assert.throws(() => takeGuard(folder, 'writer'), {
      code: 'ERR_RUN_BUSY',
      message: new RegExp(`process ${process.pid} on`),
    })
  })

  it('are touched without changing, which keeps them from being thought dead', () => {
    const guard = takeGuard(folder, 'writer')
    const content = readFileSync(guard.path)
    age(guard.path, 600)
    const before = statSync(guard.path).mtimeMs
    assert.equal(guard.touch(), true)
    assert.ok(statSync(guard.path).mtimeMs - before > 599_000)
    assert.deepEqual(readFileSync(guard.path), content)
  })

  it('U4 are not touched or removed by a holder that has lost them', () => {
    const guard = takeGuard(folder, 'writer')
    rmSync(guard.path)
    assert.equal(guard.touch(), false)
    const other = plant(1, { pid: process.pid })
    const content = readFileSync(other)
    age(other, 100)
    assert.equal(guard.touch(), false)
    guard.release()
    assert.deepEqual(readFileSync(other), content)
    assert.ok(Date.now() - statSync(other).mtimeMs > 99_000)
  })

  it('U3 are withdrawn by a holder when the next generation was taken', () => {
    const guard = takeGuard(folder, 'writer')
    plant(2, { pid: process.pid })
    assert.equal(guard.touch(), false)
  })

  it('that are dead go to exactly one of eight processes racing for them', async () => {
    const racers = Array.from({ length: RACERS }, startHolder)
    await Promise.all(racers.map((racer) => racer.ready()))
    for (let round = 0; round < 25; round++) {
      if (round % 3 !== 0) plant(round, { pid: 2 ** 22 + 1 })
      if (round % 3 === 2) plant(round + 1, { pid: 2 ** 22 + 2 })
      const at = Date.now() + 30
      const outcomes = await Promise.all(racers.map((racer) => racer.take(folder, 'writer', at)))
      assert.deepEqual(outcomes.toSorted(), [...Array(RACERS - 1).fill('ERR_RUN_BUSY'), 'held'])
      assert.equal(guards().length, 1)
      await racers[outcomes.indexOf('held')]!.ask('release')
      assert.deepEqual(guards(), [])
    }
  })

  it('U3 are never held by two of eight processes that take, release and abandon them without pause', async () => {
    const racers = Array.from({ length: RACERS }, startHolder)
    await Promise.all(racers.map((racer) => racer.ready()))
    const until = Date.now() + 2500
    const outcomes = await Promise.all(
      racers.map((racer) => racer.ask(`contend\t${folder}\twriter\t${until}`)),
    )
    for (const outcome of outcomes) assert.match(outcome, /^held \d+ refused \d+$/)
    const held = outcomes.map((outcome) => Number(outcome.split(' ')[1]))
    assert.ok(
      held.filter((count) => count > 0).length >= 2,
      `only one process ever held it: ${outcomes.join('; ')}`,
    )
  })

  /** A guard of this process but for `change`, as a version without checksum would have written it. */
  function plant(generation: number, change: Record<string, unknown>): string {
    const model = takeGuard(join(folder, 'model'), 'writer')
    const content = JSON.parse(readFileSync(model.path, 'utf8'))
    model.release()
    const path = join(folder, 'guards', `writer.${generation}.json`)
    mkdirSync(join(folder, 'guards'), { recursive: true })
    writeFileSync(path, '')
    const inode = String(statSync(path, { bigint: true }).ino)
    const startTime = 'pid' in change ? startTimeOf(change.pid as number) : content.startTime
    writeFileSync(path, JSON.stringify({ ...content, crc: undefined, inode, startTime, ...change }))
    return path
  }
})

function age(path: string, seconds: number): void {
  const time = Date.now() / 1000 - seconds
  utimesSync(path, time, time)
}

function startTimeOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[19]!
  } catch {
    return ''
  }
}

/** A `guard-holder` process. */
class Holder {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: Interface

  constructor() {
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
    const path = new URL(`./guard-holder${extension}`, import.meta.url).pathname
    this.#process = spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#process.stdout })
  }

  get pid(): number {
    return this.#process.pid!
  }
  async ask(line: string): Promise<string> {
    const answer = once(this.#lines, 'line')
    this.#process.stdin.write(`${line}\n`)
    return (await answer)[0]
  }
  async ready(): Promise<void> {
    await this.ask('release')
  }
  take(folder: string, name: string, at = 0): Promise<string> {
    return this.ask(`take\t${folder}\t${name}\t${at}`)
  }
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }
}
