/**
 * `npm run bench -- compare <commit> [<commit>] [--quick]`: is a call as cheap, and the pipeline as fast, as at that
 * commit? Measured against the second commit, or what is compiled in the work tree.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import { type Build, buildOfCommit, buildOfWorkTree } from './compare-build.ts'
import { type Comparison, compareRounds, FIGURES, type Figure, figureOf, labelOf } from './compare-figures.ts'
import { type CompareRecord, REPORT, renderComparison, type Side, valuesOf } from './compare-report.ts'
import { type BenchOptions, describeMachine, OUTCOME, type Outcome, type RawRecord, show } from './harness.ts'

export interface CompareSize {
  readonly rounds: number
  /** Of each answer, from 0 (the question's quick mode) to 1 (its full one). */
  readonly size: number
}

/** Round counts at which the interval leaves out the lowest and the highest ratio, of the full one four of each. */
const QUICK: CompareSize = { rounds: 9, size: 0.25 }
const FULL: CompareSize = { rounds: 17, size: 0.5 }

export async function compare(revisions: readonly string[], options: BenchOptions): Promise<Outcome> {
  const [before, now, ...rest] = revisions
  if (before === undefined || rest.length > 0) {
    process.stderr.write('compare takes one commit, or two: npm run bench -- compare <commit> [<commit>]\n')
    return OUTCOME.void
  }
  const builds: Partial<Record<Side, Build>> = {}
  try {
    builds.before = buildOfCommit(before)
    builds.now = now === undefined ? buildOfWorkTree() : buildOfCommit(now)
    return await compareBuilds(builds as Record<Side, Build>, options.quick ? QUICK : FULL, options, FIGURES)
  } catch (error) {
    process.stderr.write(`compare: void: ${error instanceof Error ? error.message : String(error)}\n`)
    return OUTCOME.void
  } finally {
    builds.now?.remove()
  }
}

/**
 * Measures, writes the report and says what got worse.
 * @throws Error when a build could not answer; nothing is written then
 */
export async function compareBuilds(
  builds: Readonly<Record<Side, Build>>,
  { rounds, size }: CompareSize,
  { quick, reportsFolder }: BenchOptions,
  figures: readonly Figure[],
): Promise<Outcome> {
  const begin = performance.now()
  const { before, now } = builds
  process.stdout.write(`# ${before.label} → ${now.label}, ${rounds} rounds\n`)
  const records: CompareRecord[] = [
    { kind: 'machine', ...describeMachine(REPORT, quick) },
    { kind: 'builds', before: before.label, now: now.label, size },
  ]
  const questions = [...new Set(figures.map(({ question }) => question))]
  let turn = 0
  for (let round = 0; round < rounds; round++) {
    const order: readonly Side[] = round % 2 === 0 ? ['before', 'now'] : ['now', 'before']
    for (const question of questions) {
      for (const side of order) {
        const answer = await ask(builds[side], question, size)
        const measured = figures
          .filter((figure) => figure.question === question)
          .map((figure) => [labelOf(figure), Number(figureOf(figure, answer).toPrecision(6))] as const)
        records.push({
          ...{ kind: 'run', turn: turn++, round, side, question },
          figures: Object.fromEntries(measured),
        })
      }
    }
    process.stdout.write(`round ${round + 1} of ${rounds}, ${show((performance.now() - begin) / 1000)} s\n`)
  }
  const seconds = Number(((performance.now() - begin) / 1000).toPrecision(4))
  records.push({ kind: 'end', load: loadavg()[0]!, seconds })
  write(records, reportsFolder)
  return judge(figures, records)
}

async function ask({ dist, label }: Build, question: string, size: number): Promise<RawRecord[]> {
  const program = fileURLToPath(workerUrl('./compare-child', import.meta.url))
  const child = fork(program, [dist, question, String(size)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let problems = ''
  child.stderr!.on('data', (text: Buffer) => (problems += text))
  let records: RawRecord[] | undefined
  child.on('message', (message) => (records = message as RawRecord[]))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (records && code === 0) return records
  throw new Error(`${question} of ${label} ended with ${signal ?? code}: ${problems.trim().slice(-2000)}`)
}

function judge(figures: readonly Figure[], records: readonly CompareRecord[]): Outcome {
  const verdicts = new Map<Figure, Comparison>(
    figures.map((figure) => [
      figure,
      compareRounds(figure, valuesOf(figure, 'before', records), valuesOf(figure, 'now', records)),
    ]),
  )
  for (const [figure, { ratio, interval, verdict }] of verdicts) {
    const [low, high] = interval.map((value) => value.toFixed(3))
    process.stdout.write(`${verdict.padEnd(9)} ${ratio.toFixed(3)}× (${low}–${high}) ${labelOf(figure)}\n`)
  }
  const isWorse = [...verdicts.values()].some(({ verdict }) => verdict === 'worse')
  return isWorse ? OUTCOME.goalMissed : OUTCOME.answered
}

function write(records: readonly CompareRecord[], folder: string): void {
  const dataFolder = join(folder, 'data')
  mkdirSync(dataFolder, { recursive: true })
  const path = join(dataFolder, `${REPORT}-${process.versions.node.split('.')[0]}.jsonl`)
  rmSync(`${path}.new`, { force: true })
  for (const record of records) appendFileSync(`${path}.new`, `${JSON.stringify(record)}\n`)
  renameSync(`${path}.new`, path)
  const report = join(folder, `${REPORT}.md`)
  writeFileSync(report, renderComparison(dataFolder))
  process.stdout.write(`written: ${report}, ${path}\n`)
}
