/** Two builds side by side: what is slower is found, whatever the noise; what is not, is not accused. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { compare, compareBuilds } from '../../bench/compare.ts'
import { type Build, buildOfCommit, buildOfWorkTree } from '../../bench/compare-build.ts'
import {
  compareRounds,
  FIGURES,
  type Figure,
  figureOf,
  labelOf,
  medianInterval,
} from '../../bench/compare-figures.ts'
import { OUTCOME } from '../../bench/harness.ts'
import { Random, SEED } from '../random.ts'
import { REPOSITORY } from '../repository.ts'

const cost: Figure = { question: 'ring-push', table: 't', name: 'call', minus: 'loop', kind: 'cost' }
const rate: Figure = { question: 'pipeline', table: 't', name: 'journaled', kind: 'rate' }

function temporary(t: TestContext, parent: string): string {
  const folder = mkdtempSync(join(parent, 'tracelet-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Values around `level`, each off by up to `noise` of it. */
function noisy(random: Random, level: number, noise: number, count: number): number[] {
  return Array.from({ length: count }, () => level * (1 + noise * (2 * random.next() - 1)))
}

test('the interval of a median is that of the sign test, and nothing below six rounds', () => {
  const ranks = (count: number) => medianInterval(Array.from({ length: count }, (_, i) => i + 1))
  assert.deepEqual(ranks(5), [0, Infinity])
  assert.deepEqual(ranks(6), [1, 6])
  assert.deepEqual(ranks(7), [1, 7])
  assert.deepEqual(ranks(9), [2, 8])
  assert.deepEqual(ranks(15), [4, 12])
  assert.deepEqual(ranks(17), [5, 13])
})

test('a call that costs a fifth more is worse, one that costs the same is held, noise is neither', (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const verdict = (figure: Figure, level: number, noise: number) =>
    compareRounds(figure, noisy(random, 100, noise, 17), noisy(random, level, noise, 17)).verdict
  assert.equal(verdict(cost, 120, 0.02), 'worse')
  assert.equal(verdict(cost, 100, 0.02), 'held')
  assert.equal(verdict(cost, 80, 0.02), 'held')
  assert.equal(verdict(rate, 80, 0.02), 'worse')
  assert.equal(verdict(rate, 100, 0.02), 'held')
  assert.equal(verdict(rate, 120, 0.02), 'held')
  assert.notEqual(verdict(cost, 100, 0.9), 'worse')
  assert.equal(verdict({ ...cost, isControl: true }, 200, 0), 'control')
  const few = compareRounds(cost, [100, 100, 100], [200, 200, 200])
  assert.equal(few.verdict, 'undecided')
  assert.equal(few.ratio, 2)
})

test('a figure is the median of its samples less that of its control', () => {
  const samples = (name: string, values: number[]) =>
    ({ kind: 'samples', table: 't', name, unit: 'ns', samples: values }) as const
  const records = [samples('call', [10, 30, 20]), samples('loop', [1, 3, 2])]
  assert.equal(figureOf(cost, records), 18)
  assert.throws(() => figureOf(cost, records.slice(0, 1)), /not measured: t · loop/)
})

test('a handle that got slower is found, the lane that did not is not, and the report says so', async (t) => {
  const reports = temporary(t, tmpdir())
  const before = buildOfWorkTree()
  t.after(before.remove)
  const now: Build = {
    ...before,
    label: 'planted',
    dist: join(temporary(t, join(before.dist, '..')), 'dist'),
  }
  cpSync(before.dist, now.dist, { recursive: true })
  const handle = join(now.dist, 'src', 'run', 'metric.js')
  const source = readFileSync(handle, 'utf8')
  const slower = source.replace(/^( +log\(.*\) \{\n)/m, '$1for (let i = 0; i < 300; i++) Math.random()\n')
  assert.notEqual(slower, source)
  writeFileSync(handle, slower)

  const figures = FIGURES.filter(({ name }) => name === 'bound handle' || name === 'LaneWriter.push')
  const size = { rounds: 6, size: 0 }
  const options = { quick: true, reportsFolder: reports }
  assert.equal(await compareBuilds({ before, now }, size, options, figures), OUTCOME.goalMissed)

  const report = readFileSync(join(reports, 'spine-unchanged.md'), 'utf8')
  for (const figure of figures) {
    const row = report.split('\n').find((line) => line.includes(labelOf(figure)))
    const ratio = Number(/\| ([\d.]+)× \|/.exec(row ?? '')?.[1])
    if (figure.name === 'bound handle') assert.match(row!, /\*\*worse\*\*/)
    assert.equal(ratio > 5, figure.name === 'bound handle', row)
  }
  const data = readFileSync(
    join(reports, 'data', `spine-unchanged-${process.versions.node.split('.')[0]}.jsonl`),
  )
  const runs = data
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; side: string })
    .filter(({ kind }) => kind === 'run')
  const sides = runs.map(({ side }) => side)
  assert.deepEqual(sides.slice(0, 4), ['before', 'now', 'now', 'before'])
  assert.equal(sides.length, 12)
})

test('a build that cannot answer makes the comparison void, with nothing written', async (t) => {
  const reports = temporary(t, tmpdir())
  const before = buildOfWorkTree()
  t.after(before.remove)
  const broken: Build = { ...before, label: 'broken', dist: join(before.dist, 'nowhere') }
  const options = { quick: true, reportsFolder: reports }
  await assert.rejects(
    compareBuilds({ before: broken, now: before }, { rounds: 1, size: 0 }, options, FIGURES),
    /ring-push of broken ended with 1: .*nowhere/s,
  )
  assert.ok(!existsSync(join(reports, 'spine-unchanged.md')))
})

test('a commit is exported and compiled, once; one that is not there is said', async (t) => {
  if (!existsSync(join(REPOSITORY, '.git'))) return t.skip('not a clone of the repository')
  const build = buildOfCommit('HEAD')
  assert.ok(existsSync(join(build.dist, 'bench', 'main.js')))
  const planted = join(build.dist, 'planted')
  writeFileSync(planted, '')
  t.after(() => rmSync(planted))
  assert.equal(buildOfCommit('HEAD').dist, build.dist)
  assert.ok(existsSync(planted), 'compiled again')
  assert.throws(() => buildOfCommit('no-such-commit'), /no-such-commit/)
  const options = { quick: true, reportsFolder: temporary(t, tmpdir()) }
  assert.equal(await compare(['no-such-commit'], options), OUTCOME.void)
  assert.equal(await compare([], options), OUTCOME.void)
})
