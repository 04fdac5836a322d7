/**
 * What the committed journal in `fixtures/v1` holds, and how it was made (`node …/fixture-v1.js FOLDER`). The files are
 * never made again: every later version must read these.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { segmentName } from '../../../src/pipeline/journal/format.ts'
import type { Item } from './scribe.ts'
import { Scribe } from './scribe.ts'

const T = 1_700_000_000_000

/** Item i has sequence number i. */
export const ITEMS: readonly Item[] = [
  { kind: 'state', state: 'running', time: T },
  {
    kind: 'params',
    params: {
      lr: 1e-3,
      zero: -0,
      big: Infinity,
      name: 'résumé 🚂',
      on: true,
      off: false,
      none: null,
      empty: '',
    },
  },
  { name: 'train/loss', context: '', step: 0, time: T + 0.5, value: 0.1, row: 0, session: 1 },
  { name: 'train/loss', context: 'val', step: 0, time: T + 0.5, value: -0, row: 0, session: 1 },
  { name: '損失', context: 'Ümlaut', step: 2 ** 53 - 1, time: -1.25, value: Number.NaN, row: 1, session: 1 },
  { kind: 'tags', tags: { 'mlflow.note': 'x', ü: '🚂', '': 'empty name' } },
  { name: 'train/loss', context: '', step: 0, time: T + 7, value: Infinity, row: 0, session: 1 },
  { name: 'acc', context: '', step: -3, time: T, value: -Infinity, row: 2, session: 1 },
  // the second session: the first was killed within an append
  { name: 'acc', context: '', step: 1, time: T + 1, value: Number.MIN_VALUE, row: 3, session: 2 },
  { name: 'late/series', context: 'rank 1', step: 1, time: T + 1, value: 1 / 3, row: 3, session: 2 },
  { kind: 'state', state: 'killed', time: T + 2 },
  // the third: its drain thread was restarted
  { name: 'train/loss', context: 'val', step: 5, time: T + 3, value: -Number.MAX_VALUE, row: 4, session: 3 },
  { kind: 'state', state: 'finished', time: T + 4 },
]
export const SESSIONS = [
  { seq: 0, session: 1 },
  { seq: 8, session: 2 },
  { seq: 11, session: 3 },
] as const
export const CLOSED = [
  { seq: 7, row: 0 },
  { seq: 8, row: 1 },
  { seq: 10, row: 3 },
  { seq: 12, row: 4 },
] as const
export const CARRIED = { coalesced: 11, lost: 2, lostRecords: 1 } as const
/** Lane positions of the second process. */
export const NONCE = 'second process'
export const LANES: readonly (readonly [lane: number, position: number])[] = [
  [0, 2 ** 40],
  [5, 9],
]

function writeFixture(folder: string): void {
  const runId = '20261123-101502-x7k2mq'
  const at = (from: number, to: number) =>
    ITEMS.slice(from, to).map((item) => {
      if (!('value' in item)) throw new Error('not a point')
      return item
    })
  const record = (seq: number) => {
    const item = ITEMS[seq]!
    if (!('kind' in item) || item.kind === 'unknown') throw new Error('not a record')
    return item
  }
  const first = new Scribe(folder, { runId, nonce: 'first process', segmentBytes: 1500 })
  for (let row = 0; row < 3; row++) first.writer.takeRow()
  first.record(record(0)).record(record(1)).commit()
  first.points(at(2, 5), { lane: 0, position: 3, coalesced: 4 }).record(record(5)).commit()
  first.points(at(6, 7), { closed: [0] }).commit()
  first.writer.countLost(2, 1)
  first.points(at(7, 8), { closed: [1], coalesced: 7 }).commit()
  appendFileSync(join(folder, segmentName(first.writer.segment)), 'TLJF torn in the middle of an append')
  const second = new Scribe(folder, { runId, nonce: NONCE })
  second.writer.takeRow()
  second.points(at(8, 10), { lane: 0, position: 2 ** 40, closed: [3] }).commit()
  second.record(record(10), 5, 9).commit()
  const third = new Scribe(folder, { runId, nonce: NONCE, session: 'drain' })
  third.writer.takeRow()
  third
    .points(at(11, 12), { closed: [4] })
    .record(record(12))
    .commit()
  third.writer.close()
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) writeFixture(process.argv[2]!)
