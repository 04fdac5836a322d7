/**
 * Guarantee G4 on the whole pipeline: real processes that train against the offset fake and TensorBoard are killed
 * at random instants, the run is trained on or synced, and then journal, fake and event file are read back.
 *
 * TRACELET_TEST_KILLS says how many kills (default 50, with TRACELET_TEST_LONG=1 500); TRACELET_TEST_KEEP=1 keeps
 * the folders of a failure.
 *
 * About the 20 ms: they are 20 ms in which the drain thread could run. On a machine that is busy with other things
 * it may have to wait for a processor for longer than that; each round measures how long it did, around its kill,
 * and widens the bound of that round by as much and no more (verdict.ts tells how). The widenings are reported.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Random, SEED } from '../random.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { playRound, type Result } from './round.ts'

const KILLS = Number(process.env.TRACELET_TEST_KILLS ?? (process.env.TRACELET_TEST_LONG === '1' ? 500 : 50))
const AT_ONCE = 2

test(`a process killed at any instant leaves a prefix of what it logged, and every backend gets that once (seed ${SEED})`, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-kill-'))
  const server = await OffsetServer.start()
  const delays = new Random(SEED)
  // often enough a kill falls between what the server has applied and what the sink has heard
  server.answersAfterMs = () => (delays.next() < 0.7 ? 0 : delays.below(25))
  const results: Result[] = []
  const count = () => results.reduce((kills, result) => kills + result.kills, 0)
  let rounds = 0
  const failures: Error[] = []
  let last: Promise<unknown> = Promise.resolve()
  const alone = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
  const play = async () => {
    while (count() < KILLS && failures.length === 0) {
      const round = rounds++
      const random = new Random(SEED + round)
      try {
        results.push(await playRound({ random, dir, runId: `r${round}`, server, alone }))
      } catch (error) {
        failures.push(
          new Error(`round ${round}, seed ${SEED}: ${(error as Error).message}`, { cause: error }),
        )
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, play))
  } finally {
    await server.stop()
    if (failures.length === 0 || process.env.TRACELET_TEST_KEEP !== '1')
      rmSync(dir, { recursive: true, force: true })
  }
  if (failures[0] !== undefined) throw failures[0]
  assert.ok(count() >= KILLS)
  t.diagnostic(report(results, rounds))
})

function report(results: readonly Result[], rounds: number): string {
  const total = (of: (result: Result) => number) => results.reduce((sum, result) => sum + of(result), 0)
  const losses = results.flatMap((result) => result.losses)
  return [
    `${total(({ kills }) => kills)} kills in ${rounds} rounds, and ${total(({ syncKills }) => syncKills)} of a sync`,
    `${total(({ points }) => points)} points`,
    `calls missing: ${spread(losses.map(({ missingMs }) => missingMs))}`,
    `the 20 ms widened by ${spread(losses.map(({ widenedMs }) => widenedMs))}`,
  ].join('; ')
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(1)
  return `median ${at(0.5)}, nine in ten below ${at(0.9)}, most ${at(1)} ms`
}
