import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunRecord } from '../../../src/core/types.ts'
import { readTail } from '../../../src/pipeline/journal/tail.ts'
import { RunFolder } from '../delivery/run-folder.ts'

type State = Extract<RunRecord, { kind: 'state' }>['state']

/** Of two points each: one frame, larger than what is read of an end or a beginning. */
const MANY = 5_000
/** So many frames of some hundred bytes are more than that, too. */
const SMALL_FRAMES = 1_000

const says = (folder: RunFolder, state: State) => folder.record({ kind: 'state', state, time: 1 })
const begun = (id: string) => says(new RunFolder(id, []), 'running')
const small = (folder: RunFolder) => {
  for (let step = 0; step < SMALL_FRAMES; step++) folder.series('a', step, step)
  return folder
}

for (const [what, make, state] of [
  ['that runs', () => begun('r').rows(0, 3), 'running'],
  ['that has ended', () => says(begun('r').rows(0, 3), 'failed'), 'failed'],
  ['that runs and has said much', () => small(begun('r')), 'running'],
  ['with one late point', () => says(begun('r'), 'finished').session().series('late', 9, 1), 'finished'],
  ['with many late points', () => small(says(begun('r'), 'finished').session()), 'finished'],
  ['with a large late frame', () => says(begun('r'), 'finished').session().rows(9, MANY), 'finished'],
  [
    'that came back late twice',
    () => says(begun('r').rows(0, MANY), 'killed').session().rows(9, 1).session().rows(12, 1),
    'killed',
  ],
  ['that goes on', () => small(says(says(begun('r'), 'finished').session(), 'running')), 'running'],
  [
    'that goes on after a restart of its drain thread',
    () => small(small(says(says(begun('r'), 'finished').session(), 'running')).session()),
    'running',
  ],
  ['that has said nothing', () => new RunFolder('r', []).rows(0, MANY), 'running'],
] as const) {
  test(`the end of a journal tells the state and the sums of a run ${what}`, (context) => {
    const folder = make().close()
    context.after(() => folder.remove())
    const { points, records } = folder
    assert.deepEqual(readTail(folder.run.folder), { points, records, state })
  })
}
