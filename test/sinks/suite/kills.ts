/** A delivery to a sink whose process is killed again and again while its backend fails. */
import assert from 'node:assert/strict'
import type { Cursor, RunInfo } from '../../../src/core/types.ts'
import type { Stage } from '../../pipeline/delivery/stage.ts'
import { type Random, SEED } from '../../random.ts'
import type { Bench } from '../bench.ts'

export interface Kills {
  /** A life has fewer turns than this, but for the last ones. */
  readonly turns: number
  /** Lives that may be ended by a kill. */
  readonly lives: number
  /** Before the first life. */
  readonly cursor?: Cursor
  /** The next life, from the cursor that the last one saved. */
  readonly start: (cursor: Cursor | undefined) => Stage
}

/** Plays lives until one settles everything, which must come; gives the cursor saved last. */
export async function playThroughKills(
  bench: Bench,
  run: RunInfo,
  random: Random,
  kills: Kills,
): Promise<Cursor> {
  const { faults } = bench.harness
  const transient = faults.filter((fault) => !['gone', 'hang', 'unauthorized'].includes(fault))
  let { cursor } = kills
  for (let lives = 0; ; lives++) {
    assert.ok(lives < 100, `seed ${SEED}: it does not come to an end`)
    const stage = kills.start(cursor)
    const turns = random.below(kills.turns)
    let turn = 0
    const killed = () => turn++ >= turns && lives < kills.lives
    stage.delivery.finish(stage.now + 1e9, stage.now)
    await stage.play(() => {
      if (random.next() < 0.1 && transient.length > 0 && stage.saved.length > 0)
        void bench.harness.failNext(random.pick(transient), run)
      return killed() || stage.closed !== undefined
    })
    cursor = stage.saved.at(-1) ?? cursor
    if (stage.closed?.complete) return cursor!
    assert.equal(stage.closed, undefined, `seed ${SEED}: ${stage.closed?.reason}`)
    // the process is gone and so is everything it was writing
    await stage.abandon()
  }
}

export interface BothCursors {
  readonly rows: Cursor | undefined
  readonly uploads: Cursor | undefined
}

/**
 * The same where the sink uploads, too: both deliveries die together. Faults are planned by `plan`, which is asked all
 * the time; `onKill` sees what a life has saved.
 */
export async function playBothThroughKills(
  random: Random,
  kills: Pick<Kills, 'turns' | 'lives'> & {
    readonly start: (cursors: BothCursors) => Stage
    readonly plan: (stage: Stage) => void
    readonly onKill?: (cursors: BothCursors) => void
  },
): Promise<{ readonly rows: Cursor; readonly uploads: Cursor }> {
  let cursors: BothCursors = { rows: undefined, uploads: undefined }
  for (let lives = 0; ; lives++) {
    assert.ok(lives < 200, `seed ${SEED}: it does not come to an end`)
    const stage = kills.start(cursors)
    const turns = random.below(kills.turns)
    let turn = 0
    stage.end(1e9)
    await stage.play(() => {
      kills.plan(stage)
      // so that cursors are saved
      stage.now += 20
      return (turn++ >= turns && lives < kills.lives) || stage.closed !== undefined
    })
    cursors = {
      rows: stage.saved.at(-1) ?? cursors.rows,
      uploads: stage.savedUploads.at(-1) ?? cursors.uploads,
    }
    kills.onKill?.(cursors)
    assert.deepEqual(stage.letters, [], `seed ${SEED}`)
    if (stage.closed?.complete) return { rows: cursors.rows!, uploads: cursors.uploads! }
    assert.equal(stage.closed, undefined, `seed ${SEED}: ${stage.closed?.reason}`)
    await stage.abandon()
  }
}
