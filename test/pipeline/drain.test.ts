/**
 * The drain without its thread, so that it can be stopped between any two of its actions: whatever its predecessor
 * had done, a successor journals every slot once (D1, D4).
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCounters, RUN, runCounters } from '../../src/core/counters.ts'
import { Drain } from '../../src/pipeline/drain.ts'
import type { RunOrder, SeriesDefinition } from '../../src/pipeline/messages.ts'
import { Descriptors } from '../../src/pipeline/store/descriptors.ts'
import { createRunFolder } from '../../src/pipeline/store/folder.ts'
import { Syncer } from '../../src/pipeline/store/syncer.ts'
import { laneId } from '../../src/ring/lane-reader.ts'
import { LaneWriter } from '../../src/ring/lane-writer.ts'
import { CONTROL, createControl, createLane, LANE, LANE_RECORD } from '../../src/ring/layout.ts'
import { RunProducer } from '../../src/run/producer.ts'
import { Random, SEED } from '../random.ts'
import { readJournal } from '../run/journaled.ts'
import { temporaryFolder } from '../run/program.ts'

/** A run, a lane with one producer, and as many drains one after another as a test wants. */
class Spine {
  readonly folder: string
  readonly control = createControl()
  readonly counters = createCounters(0)
  readonly lane = createLane(this.control, 256)
  readonly producer: RunProducer
  readonly definitions: SeriesDefinition[] = []
  onDefinitions = () => {}
  onIssue = (message: string): void => assert.fail(message)
  onOrphans = (points: number): void => assert.fail(`${points} points of nobody`)
  logged = 0
  readonly #order: RunOrder
  readonly #syncer = new Syncer<never>()
  readonly #laneWords = new Int32Array(this.lane)
  /** Where each point ends in the lane: between the slots of one record TAIL never stands. */
  readonly #ends: number[] = []

  constructor(context: TestContext, more: Partial<RunOrder> = {}) {
    this.folder = createRunFolder(temporaryFolder(context), 'p', 'r')
    context.after(() => this.#syncer.stop())
    this.#order = {
      number: 1,
      incarnation: 'incarnation',
      run: {
        id: 'r',
        name: 'r',
        project: 'p',
        experiment: 'e',
        createdAt: 0,
        nonce: 'n',
        folder: this.folder,
      },
      counters: this.counters,
      destinations: [],
      durability: 'process',
      rowMaxAgeMs: 10_000,
      ...more,
    }
    const options = { overflow: 'drop', blockMaxMs: 0, announce: () => {} } as const
    const writer = new LaneWriter(this.control, this.lane, options)
    let series = 0
    this.producer = new RunProducer(
      writer,
      1,
      this.counters,
      () => series++,
      (issue) => assert.fail(issue.message),
    )
  }

  /** Takes over from the one before, which knows nothing of it. */
  newDrain(): Drain {
    const words = new Int32Array(this.control)
    const epoch = Atomics.add(words, CONTROL.epoch, 1) + 1
    const syncer = this.#syncer
    const isFenced = () => Atomics.load(words, CONTROL.epoch) !== epoch
    const disk = { syncer, descriptors: new Descriptors(syncer), isFenced }
    const drain = new Drain(this.control, epoch, [...this.definitions], disk, {
      receive: () => {},
      onDefinitions: (definitions) => {
        this.definitions.push(...definitions)
        this.onDefinitions()
      },
      onAppend: () => {},
      onFinish: () => {},
      onOrphans: (points) => this.onOrphans(points),
      onIssue: (_, issue) => this.onIssue(issue.message),
    })
    drain.addRun(this.#order, epoch > 1)
    drain.addLane(this.lane)
    return drain
  }

  /** The same run started again, as another number, by a producer of its own in the same lane. */
  resume(drain: Drain): { order: RunOrder; producer: RunProducer } {
    const order = { ...this.#order, number: 2, incarnation: 'another', counters: createCounters(0) }
    drain.addRun(order, false)
    let series = 1000
    const producer = new RunProducer(
      this.producer.lane,
      2,
      order.counters,
      () => series++,
      (issue) => assert.fail(issue.message),
    )
    return { order, producer }
  }

  /** Three points and the end of the run, after which the drain lets go of run and lane. */
  finishAndForget(drain: Drain): void {
    this.log(3)
    this.producer.finish(1)
    for (let now = 1; now < 4; now++) drain.pass(now)
    drain.removeRun(1)
    drain.forgetIdleLanes()
  }

  log(points: number): void {
    for (let i = 0; i < points; i++, this.logged++) {
      const name = this.logged % 40 === 0 ? `new ${this.logged}` : 'loss'
      this.producer.log({ [name]: this.logged / 3 }, { step: this.logged, time: 5 })
      this.#ends.push(Atomics.load(this.#laneWords, LANE.head))
    }
  }

  /** As if the thread had died before it moved TAIL beyond one of the places since `before` where it may stand. */
  moveTailBack(before: number, random: Random): void {
    const { tail } = this
    this.tail = random.pick([before, ...this.#ends.filter((end) => end > before && end <= tail)])
  }

  get tail(): number {
    return Atomics.load(this.#laneWords, LANE.tail)
  }
  /** As if the thread had died before it moved TAIL this far. */
  set tail(position: number) {
    Atomics.store(this.#laneWords, LANE.tail, position)
  }

  assertOnce(about: string): void {
    const journaled = readJournal(this.folder)
    const steps = [...journaled.points.values()].flatMap((points) => points.map(({ step }) => step))
    steps.sort((a, b) => a - b)
    assert.deepEqual(
      steps,
      Array.from({ length: this.logged }, (_, step) => step),
      about,
    )
    for (const [name, points] of journaled.points) {
      for (const { step, value } of points) {
        assert.equal(value, step / 3, about)
        assert.equal(name, step % 40 === 0 ? `new ${step}` : 'loss', about)
      }
    }
    assert.equal(runCounters(this.counters)[RUN.journaled], this.logged, about)
  }
}

function journalAll(drain: Drain, now: number): void {
  drain.pass(now)
  drain.append(now)
}

test('D1 a drain that died between its append and the moving of TAIL: its successor skips what is journaled', (context) => {
  const spine = new Spine(context)
  let now = 1
  spine.log(20)
  journalAll(spine.newDrain(), now++)
  // at every slot that TAIL may have stood at
  for (let round = 0; round < 30; round++) {
    const drain = spine.newDrain()
    const before = spine.tail
    spine.log(3)
    journalAll(drain, now++)
    const after = spine.tail
    spine.tail = before + (round % (after - before + 1))
    if (round % 3 === 0) spine.log(2)
    journalAll(spine.newDrain(), now++)
    assert.ok(spine.tail >= after)
    spine.assertOnce(`round ${round}`)
  }
})

test('D1 a drain that died with points taken and not appended: its successor takes them again', (context) => {
  const spine = new Spine(context)
  const first = spine.newDrain()
  first.pass(1)
  spine.log(10)
  first.pass(2)
  assert.equal(readJournal(spine.folder).count, 0, 'nothing is old enough to be appended')
  spine.log(10)
  journalAll(spine.newDrain(), 3)
  spine.assertOnce('taken again')
})

test('D4 a drain that was replaced appends nothing and frees nothing', (context) => {
  const spine = new Spine(context)
  const first = spine.newDrain()
  first.pass(1)
  spine.log(10)
  first.pass(2)
  const second = spine.newDrain()
  first.append(2)
  first.pass(3)
  assert.equal(spine.tail, 0)
  journalAll(second, 4)
  spine.assertOnce('by the successor')
})

for (const isQuick of [true, false]) {
  test(`D4 a drain that is replaced in the middle of its append, by a ${isQuick ? 'quick' : 'slow'} one: what it still writes does not count`, (context) => {
    const spine = new Spine(context)
    const first = spine.newDrain()
    first.pass(1)
    spine.log(50)
    first.pass(2)
    let second: Drain | undefined
    // the last thing before its write: by then it has looked at EPOCH
    spine.onDefinitions = () => {
      spine.onDefinitions = () => {}
      second = spine.newDrain()
      if (isQuick) journalAll(second, 3)
    }
    first.append(2)
    assert.ok(second !== undefined)
    if (!isQuick) assert.equal(spine.tail, 0, 'the slots are still to be read')
    spine.log(10)
    journalAll(second, 4)
    spine.assertOnce('by the successor')
  })
}

test('a random life of drains that die, are replaced in time or too late: every point once', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const spine = new Spine(context)
  let drain = spine.newDrain()
  let now = 1
  for (let act = 0; act < 400; act++) {
    const before = spine.tail
    const deed = random.below(10)
    if (deed < 5) spine.log(random.below(12))
    else if (deed < 7) drain.pass((now += random.below(30)))
    else if (deed < 8) drain.append(now)
    else {
      const old = drain
      if (random.below(2) === 0) {
        old.append(now)
        spine.moveTailBack(before, random)
      }
      drain = spine.newDrain()
      if (random.below(2) === 0) old.append(now)
    }
    if (spine.logged - runCounters(spine.counters)[RUN.journaled]! > 150) journalAll(drain, now)
  }
  journalAll(drain, now + 100)
  spine.assertOnce(`seed ${SEED}`)
})

test('a lane that was forgotten and comes again leaves finished runs closed: their successor keeps its points', (context) => {
  const spine = new Spine(context)
  const drain = spine.newDrain()
  spine.finishAndForget(drain)
  const { order, producer } = spine.resume(drain)
  drain.addLane(spine.lane)
  for (; spine.logged < 8; spine.logged++) {
    producer.log(
      { [spine.logged % 40 === 0 ? 'new' : 'loss']: spine.logged / 3 },
      { step: spine.logged, time: 5 },
    )
  }
  journalAll(drain, 10)
  assert.equal(runCounters(order.counters)[RUN.journaled], 5)
  const steps = [...readJournal(spine.folder).points.values()].flatMap((points) =>
    points.map(({ step }) => step),
  )
  assert.deepEqual(
    steps.sort((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
})

test('a late point of a finished run whose lane was forgotten opens its journal once more', (context) => {
  const spine = new Spine(context)
  const drain = spine.newDrain()
  spine.finishAndForget(drain)
  drain.addLane(spine.lane)
  spine.log(2)
  journalAll(drain, 10)
  spine.assertOnce('late points stand behind the others')
  assert.equal(runCounters(spine.counters)[RUN.late], 2)
})

test('bytes that are no record are counted as lost and told; what comes before and after them is journaled', (context) => {
  const spine = new Spine(context)
  const told: string[] = []
  spine.onIssue = (message) => told.push(message)
  const drain = spine.newDrain()
  spine.log(3)
  spine.producer.lane.pushRecord(LANE_RECORD.record, 1, 0, Uint8Array.of(1, 2, 3))
  spine.log(3)
  journalAll(drain, 1)
  spine.assertOnce('around it')
  assert.equal(runCounters(spine.counters)[RUN.recordsLostDisk], 1)
  assert.deepEqual(
    told.map((message) => /is no record/.test(message)),
    [true],
  )
})

test('what a finished run held is let go of, though its lane lives on; late points still find their way', async (context) => {
  const spine = new Spine(context)
  const drain = spine.newDrain()
  spine.log(3)
  spine.producer.finish(1)
  for (let now = 1; now < 4; now++) drain.pass(now)
  const held = new WeakRef(drain.runs.get(1)!)
  drain.removeRun(1)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await turn()
  collect()
  assert.equal(held.deref(), undefined)
  spine.log(2)
  // every point that the producer counts came out, in two parts
  spine.producer.mark()
  journalAll(drain, 10)
  spine.assertOnce('late points stand behind the others')
  assert.equal(runCounters(spine.counters)[RUN.late], 2)
})

test('a run that late points have opened again before it was removed meets no second writer', (context) => {
  const spine = new Spine(context)
  const drain = spine.newDrain()
  spine.log(3)
  spine.producer.finish(1)
  for (let now = 1; now < 4; now++) drain.pass(now)
  spine.log(2)
  drain.pass(4)
  drain.removeRun(1)
  spine.log(2)
  journalAll(drain, 10)
  spine.assertOnce('all late points are in one journal')
  assert.equal(runCounters(spine.counters)[RUN.late], 4)
})

test('a finished run that its owner has let go of is forgotten, when the lane was read to there', (context) => {
  const spine = new Spine(context)
  const drain = spine.newDrain()
  spine.finishAndForget(drain)
  drain.addLane(spine.lane)
  spine.log(2)
  // said behind the late points, which are still in the lane
  drain.letGo(1, laneId(spine.lane))
  for (let now = 2000; now < 9000; now += 1100) drain.pass(now)
  assert.equal(runCounters(spine.counters)[RUN.late], 2)
  drain.runs.get(1)!.close()
  drain.removeRun(1)
  for (let now = 9000; now < 13_000; now += 1100) drain.pass(now)
  spine.assertOnce('late points stand behind the others')
  // nobody is left who could log this
  let orphans = 0
  spine.onOrphans = (points) => {
    orphans += points
  }
  spine.log(1)
  for (let now = 20_000; now < 24_000; now += 1100) drain.pass(now)
  assert.deepEqual([orphans, drain.runs.size], [1, 0])
})

test('the journal is appended to before a point is 20 ms old; soon enough for a destination that is to be fresh', (context) => {
  for (const [freshMs, dueMs] of [
    [undefined, 15],
    [20, 8],
    [1000, 15],
  ] as const) {
    const spine = new Spine(context, freshMs === undefined ? {} : { freshMs })
    const drain = spine.newDrain()
    const counters = runCounters(spine.counters)
    // looks after runs, which finds out anew what they want
    drain.pass(2000)
    drain.pass(2001)
    spine.log(1)
    drain.pass(2002)
    assert.equal(drain.dueInMs(2002), dueMs - 1, 'since the pass before, when it may have been logged')
    drain.pass(2000 + dueMs)
    assert.equal(counters[RUN.journaled], 0, `${freshMs}`)
    drain.pass(2001 + dueMs)
    assert.equal(counters[RUN.journaled], 1, `${freshMs}`)
  }
})
