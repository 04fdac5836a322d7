/** S17: a run that goes back to a step, as the sink declares what becomes of it. */
import assert from 'node:assert/strict'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import type { Stage } from '../../pipeline/delivery/stage.ts'
import { Random, SEED } from '../../random.ts'
import { type Bench, type Point, START_TIME } from '../bench.ts'
import { type Check, play, range } from './check.ts'
import { playThroughKills } from './kills.ts'

/** A journal and what is written into it: two series, a row a step. */
class Story {
  readonly journal = new MemoryJournal()
  readonly lives: Point[][] = []
  readonly rewinds: { readonly life: number; readonly fromStep: number }[] = []
  #row = 0

  life(first: number, count: number): this {
    const points: Point[] = []
    const value = (step: number) => step + 1000 * this.lives.length
    for (const step of range(count).map((index) => first + index)) {
      const row = this.#row++
      this.journal.frame(
        [
          [row, step, 'loss', value(step)],
          [row, step, 'acc', 1 + value(step)],
        ],
        [row],
      )
      // the journal in memory gives points of one step one time
      const time = START_TIME + step
      points.push(
        { name: 'loss', step, value: value(step), time },
        { name: 'acc', step, value: 1 + value(step), time },
      )
    }
    this.lives.push(points)
    return this
  }

  back(fromStep: number): this {
    this.journal.session().record({ kind: 'rewind', fromStep, time: START_TIME })
    this.rewinds.push({ life: this.lives.length, fromStep })
    return this
  }

  /** What a backend of that kind holds in the end, in the order of each series. */
  expected(rewind: string): Point[] {
    let held: Point[] = []
    const left: { readonly fromStep: number; readonly highest: number }[] = []
    this.lives.forEach((points, life) => {
      for (const { fromStep } of this.rewinds.filter((one) => one.life === life)) {
        const logged = this.lives.slice(0, life).flat()
        left.push({ fromStep, highest: Math.max(...logged.map(({ step }) => step)) })
        if (rewind === 'purge' || rewind === 'branch') held = held.filter(({ step }) => step < fromStep)
      }
      for (const point of points) {
        const wasReached = left.some(
          ({ fromStep, highest }) => point.step >= fromStep && point.step <= highest,
        )
        if (rewind === 'keep-first' && wasReached) continue
        const at = held.findIndex(({ name, step }) => name === point.name && step === point.step)
        if (rewind === 'overwrite' && at >= 0) held[at] = point
        else held.push(point)
      }
    })
    return held
  }

  get count(): number {
    return this.lives.flat().length
  }
}

function assertSettled(bench: Bench, story: Story, { settled }: Stage['cursor'], message: string): void {
  const { rewind = 'none', records } = bench.harness.definition.capabilities
  const left = rewind === 'keep-first' ? story.count - story.expected(rewind).length : 0
  const { delivered, filtered, recordsDelivered, recordsFiltered } = settled
  assert.deepEqual([delivered, filtered], [story.count - left, left], message)
  const marks = story.rewinds.length
  assert.deepEqual(
    [recordsDelivered, recordsFiltered],
    records.includes('rewind') ? [marks, 0] : [0, marks],
    message,
  )
}

async function assertHeld(bench: Bench, story: Story, run: Parameters<Bench['stored']>[0], message: string) {
  const { rewind = 'none', records } = bench.harness.definition.capabilities
  await bench.assertStored(run, story.expected(rewind), message)
  const { rewinds } = await bench.harness.stored(run)
  if (rewinds === undefined || !records.includes('rewind')) return
  const marks = new Set(story.rewinds.map(({ fromStep }) => fromStep))
  // a mark may lie where a later rewind removes things
  if (rewind === 'purge') {
    assert.ok(
      rewinds.every((mark) => marks.has(mark)),
      message,
    )
    if (story.rewinds.length > 0) assert.ok(rewinds.includes(story.rewinds.at(-1)!.fromStep), message)
  } else assert.deepEqual(new Set(rewinds), marks, message)
}

export const REWIND_CHECKS: readonly Check[] = [
  {
    id: 'S17',
    title: 'S17 a sink that declares what becomes of a rewind leaves a mark of it',
    async run(bench) {
      const { rewind = 'none', records } = bench.harness.definition.capabilities
      assert.equal(records.includes('rewind'), rewind !== 'none' && rewind !== 'overwrite')
    },
  },
  {
    id: 'S17',
    title: 'S17 a run that goes back to a step is there as the sink declares',
    async run(bench) {
      const story = new Story().life(0, 10).back(5).life(5, 10)
      const { run, stage } = play(bench, story.journal)
      await stage.finish()
      assert.equal(stage.closed?.complete, true, stage.closed?.reason)
      await assertHeld(bench, story, run, '')
      assertSettled(bench, story, stage.cursor, '')
    },
  },
  {
    id: 'S17',
    title:
      'S17 going back again and again, to negative steps and beyond the end, and resuming after each delivery',
    async run(bench) {
      const run = bench.run()
      let cursor: Stage['cursor'] | undefined
      const story = new Story().life(-5, 20)
      for (const [fromStep, first, count] of [
        [10, 10, 8],
        [14, 14, 2],
        [-2, -2, 6],
        [100, 30, 3],
        [1, 1, 40],
      ] as const) {
        const { stage } = play(bench, story.journal, run, cursor)
        await stage.finish()
        cursor = stage.cursor
        await assertHeld(bench, story, run, `before ${fromStep}`)
        story.back(fromStep).life(first, count)
      }
      const { stage } = play(bench, story.journal, run, cursor)
      await stage.finish()
      await assertHeld(bench, story, run, 'at the end')
      assertSettled(bench, story, stage.cursor, 'at the end')
      // all of it in one go comes to the same
      const other = play(bench, story.journal)
      await other.stage.finish()
      await assertHeld(bench, story, other.run, 'in one go')
      assert.deepEqual(other.stage.cursor.settled, stage.cursor.settled)
    },
  },
  {
    id: 'S17',
    title: 'S17 faults and kills at random around rewinds change nothing of what is there in the end',
    async run(bench) {
      const random = new Random(SEED)
      const story = new Story().life(0, 60)
      for (let back = 50; back > 0; back -= 10) story.back(back).life(back, 30)
      const run = bench.run()
      const cursor = await playThroughKills(bench, run, random, {
        turns: 30,
        lives: 40,
        start: (cursor) => play(bench, story.journal, run, cursor).stage,
      })
      await assertHeld(bench, story, run, `seed ${SEED}`)
      assertSettled(bench, story, cursor, `seed ${SEED}`)
    },
  },
]
