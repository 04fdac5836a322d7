import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JournalReader, ThinnedStretch } from '../../../src/core/types.ts'
import type { JournalPoints } from '../../../src/pipeline/delivery/batcher.ts'
import type { PointFilter } from '../../../src/pipeline/delivery/filter.ts'
import { ThinScout } from '../../../src/pipeline/delivery/thin-scout.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { extremesOf } from './thinned.ts'

const ROUNDS = 300

function randomJournal(random: Random): MemoryJournal {
  const journal = new MemoryJournal()
  const value = () => random.pick([random.next(), random.below(3), Number.NaN, Infinity, -Infinity, -0])
  for (let frame = 0; frame < 3 + random.below(15); frame++) {
    const kind = random.below(8)
    if (kind === 0) journal.record({ kind: 'notes', notes: 'n' })
    else if (kind === 1) journal.corrupt(random.below(6), random.below(3))
    else if (kind === 2) journal.session()
    else
      journal.frame(
        Array.from(
          { length: random.below(20) },
          () => [0, random.below(9), `s${random.below(3)}`, value()] as const,
        ),
      )
  }
  return journal
}

const framesOf = (journal: MemoryJournal) => journal.entries.filter((entry) => entry.kind === 'points')

/** Sequence numbers that are kept of all frames from `from` on. */
function keptBy(scout: ThinScout, frames: readonly JournalPoints[], from: number): number[] {
  const kept: number[] = []
  for (const frame of frames) {
    const end = frame.seq + frame.points.length
    if (end <= from) continue
    while (!scout.decide(end));
    const mask = new Uint8Array(frame.points.length).fill(1)
    scout.mask(frame, mask)
    mask.forEach((isKept, at) => void (isKept && kept.push(frame.seq + at)))
  }
  scout.close()
  return kept
}

describe(`extremes of a stretch, seed ${SEED}`, () => {
  test('of each series the first lowest, first highest and first NaN of each bucket, wherever reading begins', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random(SEED + round)
      const journal = randomJournal(random)
      const from = random.below(journal.seq)
      const to = from + 1 + random.below(journal.seq - from)
      const stretch: ThinnedStretch = { from, to, bucket: 1 + random.below(30) }
      const isEven = (seq: number) => seq % 2 === 0
      const isFiltered = random.below(3) === 0
      const evenOnly: PointFilter = {
        mask: ({ seq, points }, kept) => {
          for (let at = 0; at < points.length; at++) if (!isEven(seq + at)) kept[at] = 0
        },
      }
      const parts = {
        openReader: (seq: number): JournalReader => journal.reader(seq),
        filter: () => (isFiltered ? evenOnly : undefined),
      }
      const start = random.below(journal.seq)
      const found = keptBy(new ThinScout(stretch, start, parts), framesOf(journal), start)
      const model = extremesOf(journal, [stretch], isFiltered ? isEven : undefined)
      const frames = framesOf(journal).filter(({ seq, points }) => seq + points.length > start)
      const expected = frames.flatMap(({ seq, points }) =>
        Array.from({ length: points.length }, (_, at) => seq + at).filter(model),
      )
      // of the frame that holds `start`, what is before its bucket is not asked for
      assert.deepEqual(
        found.filter((seq) => seq >= start),
        expected.filter((seq) => seq >= start),
        `seed ${SEED}, round ${round}`,
      )
    }
  })

  test('a call looks at a bounded number of points, a bucket may hold any', () => {
    const journal = new MemoryJournal().scalars('loss', 300_000, 5_000)
    const stretch = { from: 0, to: journal.seq, bucket: journal.seq }
    const parts = { openReader: (seq: number) => journal.reader(seq), filter: () => undefined }
    const scout = new ThinScout(stretch, 0, parts)
    let calls = 1
    while (!scout.decide(1)) calls++
    assert.ok(calls > 10, `${calls} calls`)
    assert.deepEqual(keptBy(scout, framesOf(journal), 0), [0, 299_999])
  })
})
