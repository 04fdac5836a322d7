import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProgressBar, progressLine } from '../../src/cli/progress.ts'
import { duration } from '../../src/core/duration.ts'

test('a line tells share, count, rate and what is left', () => {
  assert.equal(
    progressLine('training', 500, 2000, 'steps', 2500),
    'training ━━━━━━──────────────────  25 %  500/2,000 steps  200 steps/s  7.5 s left',
  )
})

test('a bar that begins in the middle counts its rate from there', () => {
  const { output, written } = terminal(100)
  let now = 0
  const bar = new ProgressBar('sending', 1000, 'items', output, () => now)
  bar.update(600)
  now = 1000
  bar.update(700, 1200, '3/4 files')
  assert.match(written.at(-1)!, /700\/1,200 items {2}100 items\/s {2}5\.0 s left {2}3\/4 files$/)
})

test('the beginning knows no rate, the end nothing left', () => {
  assert.doesNotMatch(progressLine('x', 5, 10, 'steps', 20), /steps\/s/)
  assert.equal(progressLine('x', 0, 10, 'steps', 0), 'x ────────────────────────   0 %  0/10 steps')
  assert.equal(
    progressLine('x', 10, 10, 'steps', 4000),
    'x ━━━━━━━━━━━━━━━━━━━━━━━━ 100 %  10/10 steps  2.5 steps/s',
  )
  assert.match(progressLine('x', 0, 0, 'steps', 1), /100 %/)
  assert.match(progressLine('x', 12, 10, 'steps', 1000), / 100 % /)
})

test('durations are short and rounded to what matters', () => {
  assert.equal(duration(420), '0.4 s')
  assert.equal(duration(9960), '10 s')
  assert.equal(duration(59_600), '1 min 00 s')
  assert.equal(duration(185_000), '3 min 05 s')
  assert.equal(duration(7_800_000), '2 h 10 min')
})

test('it draws ten times a second at most, always the end, and takes its line away', () => {
  const { output, written } = terminal(60)
  let now = 0
  const bar = new ProgressBar('training', 1000, 'steps', output, () => now)
  for (let step = 1; step <= 1000; step++) {
    now = step
    bar.update(step)
  }
  // At 1 ms, at 101 ms … 901 ms, and the last.
  assert.equal(written.length, 11)
  assert.match(written.at(-1)!, /1,000\/1,000/)
  bar.clear()
  assert.equal(written.at(-1), '\r\x1b[K')
})

test('a line is never wider than the terminal', () => {
  const { output, written } = terminal(30)
  new ProgressBar('training', 1000, 'steps', output).update(10)
  assert.equal(written[0]!.replace('\r\x1b[K', '').length, 29)
})

test('nothing is written where the output is not a terminal', () => {
  const written: string[] = []
  const bar = new ProgressBar('training', 10, 'steps', { write: (text) => written.push(text) })
  bar.update(10)
  bar.clear()
  assert.deepEqual(written, [])
})

function terminal(columns: number) {
  const written: string[] = []
  return { written, output: { isTTY: true, columns, write: (text: string) => written.push(text) } }
}
