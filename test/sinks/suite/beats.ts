/** S22: signs of life change nothing that is stored, and bring what the sink holds, once. */
import assert from 'node:assert/strict'
import { RUN, runCounters } from '../../../src/core/counters.ts'
import type { RunInfo, RunRecord } from '../../../src/core/types.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import { Random, SEED } from '../../random.ts'
import { type Bench, type Point, START_TIME } from '../bench.ts'
import { type Check, range } from './check.ts'

const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: START_TIME }

const beats = ({ harness }: Bench): boolean => harness.definition.limits.beatMs !== undefined
const holds = (bench: Bench): boolean => beats(bench) && bench.harness.held !== undefined

export const BEAT_CHECKS: readonly Check[] = [
  {
    id: 'S22',
    title: 'S22 a run with nothing to send gives signs of life, and nothing is stored for them',
    needs: beats,
    async run(bench) {
      const run = bench.run()
      const story = new Story()
      story.rows(5)
      const { stage, given } = live(bench, run, story)
      await stage.play(() => given.length === 3)
      await bench.assertStored(run, story.points)
      const { beatMs } = bench.harness.definition.limits
      assert.ok(given[2]! - given[1]! >= beatMs! && given[2]! - given[1]! < 2 * beatMs!, String(given))
      story.rows(5)
      await stage.finish(600_000)
      assert.equal(stage.closed?.reason, '')
      await bench.assertStored(run, story.points)
      assert.deepEqual(stage.letters, [])
    },
  },
  {
    id: 'S22',
    title: 'S22 what is held is there after a beat, at the latest; a restart before it brings it, too',
    needs: holds,
    async run(bench) {
      const run = bench.run()
      const story = new Story()
      story.rows(3)
      story.text()
      const first = live(bench, run, story)
      await first.stage.play(() => first.stage.saved.at(-1)?.seq === story.journal.seq)
      await first.stage.abandon()
      const second = live(bench, run, story, first.stage.cursor)
      await second.stage.play(() => second.given.length === 1)
      await second.stage.play(() => second.stage.now > second.given[0]! + 1_000).catch(() => {})
      await assertTold(bench, run, story)
      await second.stage.finish(600_000)
      await assertTold(bench, run, story)
    },
  },
  {
    id: 'S22',
    title: 'S22 through faults and kills at random, rows and what is held beside them are stored once each',
    needs: beats,
    async run(bench) {
      const random = new Random(SEED)
      const isTransient = (fault: string) => !['hang', 'unauthorized', 'gone'].includes(fault)
      const faults = bench.harness.faults.filter(isTransient)
      const run = bench.run()
      const story = new Story()
      let cursor: Stage['cursor'] | undefined
      let count = 0
      for (let life = 0; life < 60; life++) {
        const { stage, given } = live(bench, run, story, cursor)
        const turns = random.below(60)
        let turn = 0
        await stage.play(() => {
          if (random.next() < 0.1) {
            if (holds(bench) && random.next() < 0.5) story.text()
            else story.rows(1 + random.below(4))
            stage.publish()
          }
          if (random.next() < 0.05 && faults.length > 0 && stage.saved.length > 0)
            void bench.harness.failNext(random.pick(faults), run)
          return turn++ >= turns
        })
        count += given.length
        cursor = stage.saved.at(-1) ?? cursor
        await stage.abandon()
      }
      const { stage } = live(bench, run, story, cursor)
      story.journal.record(FINISHED)
      await stage.finish(3_600_000)
      assert.equal(stage.closed?.reason, '', `seed ${SEED}`)
      assert.ok(count > 5, `seed ${SEED}: ${count} beats`)
      await assertTold(bench, run, story)
      const { delivered, recordsDelivered, recordsFiltered } = stage.cursor.settled
      assert.deepEqual(
        [delivered, recordsDelivered + recordsFiltered],
        [story.points.length, story.journal.records],
        `seed ${SEED}`,
      )
    },
  },
]

/** Rows, each complete at once, and texts between them. */
class Story {
  readonly journal = new MemoryJournal()
  readonly points: Point[] = []
  readonly texts: string[] = []

  rows(count: number): void {
    for (const _ of range(count)) {
      const step = this.points.length
      this.journal.frame([[step, step, 'loss', step]], [step])
      this.points.push({ name: 'loss', step, value: step, time: START_TIME + step })
    }
  }

  text(): void {
    const name = `text ${this.texts.length}`
    const time = START_TIME + this.points.length
    this.journal.record({ kind: 'text', name, text: 'held', step: this.points.length, time })
    this.texts.push(name)
  }
}

/** A life of the run, which does not end; when its beats began. */
function live(
  bench: Bench,
  run: RunInfo,
  story: Story,
  cursor?: Stage['cursor'],
): { readonly stage: Stage; readonly given: number[] } {
  const { definition } = bench.harness
  const given: number[] = []
  const watched: typeof definition = {
    ...definition,
    create(context) {
      const sink = definition.create(context)
      const beat = sink.beat!.bind(sink)
      sink.beat = (signal) => {
        given.push(stage.now)
        return beat(signal)
      }
      return sink
    },
  }
  const real = { definition: watched, options: bench.options, run }
  const stage = new Stage(story.journal, {
    real,
    live: true,
    isThereFromStart: true,
    ...(cursor && { cursor }),
  })
  assert.equal(runCounters(stage.counters)[RUN.seq], story.journal.seq)
  return { stage, given }
}

async function assertTold(bench: Bench, run: RunInfo, story: Story): Promise<void> {
  await bench.assertStored(run, story.points, `seed ${SEED}`)
  if (bench.harness.held === undefined) return
  const held = await bench.harness.held(run)
  assert.deepEqual(
    held.map(({ name }) => name),
    story.texts,
    `seed ${SEED}`,
  )
}
