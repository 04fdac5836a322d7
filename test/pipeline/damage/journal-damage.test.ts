import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scanJournal } from '../../../src/pipeline/journal/scan.ts'
import { readTail } from '../../../src/pipeline/journal/tail.ts'
import { Random, SEED } from '../../random.ts'
import { isPoint, readBack, Scribe, temporaryFolder } from '../journal/scribe.ts'
import { type Files, journalFiles, judge, type Verdict } from './model.ts'
import { writeRandomRun } from './random-run.ts'
import { wreck } from './wreck.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const JOURNALS = Number(process.env.TRACELET_TEST_ROUNDS ?? (isLong ? 2_000 : 60))
const WRECKS = 8

type Items = ReturnType<typeof writeRandomRun>['items']

test(`random damage of random journals costs what it hits, and that is counted (seed ${SEED})`, (t) => {
  const top = temporaryFolder(t)
  let lost = 0
  let kept = 0
  for (let round = 0; round < JOURNALS; round++) {
    const random = new Random(SEED + round)
    const folder = join(top, 'whole')
    mkdirSync(folder)
    const { items } = writeRandomRun(random, folder, 'run', 1 + random.below(3))
    const whole = journalFiles(folder)
    for (let turn = 0; turn < WRECKS; turn++) {
      const times = turn < 5 ? 1 : 2 + (turn % 2)
      const { files, what } = wreck(whole, random, times)
      const where = `seed ${SEED}, round ${round}.${turn}: ${what}`
      // what several wrongs in one place hide from each other is counted, and not demanded
      const judged = judge(whole, files)
      const verdict = times === 1 ? judged : { ...judged, untouched: new Set<number>(), isEndKnown: false }
      const damaged = join(top, 'damaged')
      put(damaged, files)
      check(damaged, items, verdict, 0, where)
      check(damaged, items, verdict, random.below(items.length + 1), where)
      checkGoingOn(damaged, items, verdict, where)
      rmSync(damaged, { recursive: true })
      kept += judged.untouched.size
      lost += items.length - judged.untouched.size
    }
    rmSync(folder, { recursive: true })
  }
  t.diagnostic(`${JOURNALS * WRECKS} damaged journals: ${kept} items untouched, ${lost} not`)
  assert.ok(kept > 10 * JOURNALS && lost > JOURNALS)
})

function put(folder: string, files: Files): void {
  mkdirSync(folder)
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

function check(folder: string, items: Items, verdict: Verdict, fromSeq: number, where: string): void {
  const { untouched, total, isEndKnown } = verdict
  const back = readBack(folder, { fromSeq, runId: 'run' })
  for (const [seq, item] of back.items) assert.deepStrictEqual(item, items[seq], `${where}: item ${seq}`)
  for (const seq of untouched)
    if (seq >= fromSeq) assert.ok(back.items.has(seq), `${where}: ${seq} was not read from ${fromSeq}`)
  assert.ok(back.end <= Math.max(total, fromSeq), `${where}: read to ${back.end} of ${total}`)
  if (isEndKnown) assert.equal(back.end, Math.max(total, fromSeq), `${where}: from ${fromSeq}`)
  if (fromSeq > 0) return
  for (const { seq, points, records } of back.corrupt) {
    const gone = items.slice(seq, seq + points + records)
    const lost = gone.filter(isPoint).length
    assert.deepEqual([points, records], [lost, gone.length - lost], `${where}: what is lost from ${seq} on`)
  }
  assert.ok(readTail(folder).points >= 0, where)
}

/** A writer that continues uses no number again that anything left bears, and what it writes is read. */
function checkGoingOn(folder: string, items: Items, { untouched }: Verdict, where: string): void {
  const { seq } = scanJournal(folder, 0, 'run')
  for (const one of untouched) assert.ok(one < seq, `${where}: ${one} would be used again`)
  const scribe = new Scribe(folder, { nonce: 'after', runId: 'run' }, items.slice(0, seq))
  assert.equal(scribe.writer.seq, seq, where)
  scribe.points([{ name: 'after', step: 1, value: 1 }]).commit()
  scribe.writer.close()
  const back = readBack(folder, { runId: 'run' })
  assert.equal(back.end, seq + 1, where)
  for (const [at, item] of back.items) assert.deepStrictEqual(item, scribe.items[at], `${where}: item ${at}`)
  assert.ok(back.items.has(seq), `${where}: what came after the damage`)
}
