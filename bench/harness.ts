/**
 * What every bench question runs in: it records samples, judges goals, checks the conservation law, and writes the
 * raw data and the report. A run that breaks the law measured something else than our promise: it is void, nothing
 * of it is written.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { arch, cpus, loadavg, platform, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { plot, type Trace } from './plot.ts'
import { renderReport } from './report.ts'
import { type Spread, spread } from './statistics.ts'

/** Exit codes of a bench. */
export const OUTCOME = { answered: 0, goalMissed: 1, void: 2 } as const
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME]

export interface Question {
  /** Names its file here and in reports/. */
  readonly name: string
  readonly title: string
  /** What is measured and how, for the report. */
  readonly method: readonly string[]
  /** What bounds the figures, for the report. */
  readonly bounds: readonly string[]
  /** Takes long: answered only when it is asked by its name. */
  readonly onlyNamed?: true
  readonly run: (bench: Bench) => Promise<void>
}

/** Lines of reports/data/*.jsonl: the machine first, then samples, goals and law as they came. */
export type RawRecord =
  | ({ readonly kind: 'machine' } & Machine)
  | {
      readonly kind: 'samples'
      readonly table: string
      readonly name: string
      readonly unit: string
      readonly samples: readonly number[]
    }
  | ({ readonly kind: 'trace' } & Trace)
  | Goal
  | { readonly kind: 'law'; readonly name: string; readonly sums: Readonly<Record<string, number>> }
  | { readonly kind: 'end'; readonly load: number; readonly seconds: number }

export interface Machine {
  readonly question: string
  readonly at: string
  readonly commit: string
  readonly node: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly platform: string
  /** Runnable tasks over the last minute, before the bench began. */
  readonly load: number
  readonly mode: 'quick' | 'full'
}

export interface Goal {
  readonly kind: 'goal'
  readonly name: string
  readonly value: number
  readonly atMost?: number
  readonly atLeast?: number
  readonly unit: string
  readonly met: boolean
}

export interface BenchOptions {
  /** A second or so: shows that the bench runs, its figures say little. */
  readonly quick: boolean
  /** Where `<question>.md` and `data/` are written. */
  readonly reportsFolder: string
  /** How long, for questions that can be asked for longer or shorter. */
  readonly minutes?: number | undefined
}

/** What was logged is not what came out. */
export class LawBroken extends Error {}

export class Bench {
  readonly quick: boolean
  readonly minutes: number | undefined
  readonly records: RawRecord[] = []
  readonly #folders: string[] = []

  constructor(quick: boolean, minutes?: number) {
    this.quick = quick
    this.minutes = minutes
  }

  /** The number for the mode that runs. */
  either(quick: number, full: number): number {
    return this.quick ? quick : full
  }

  /** @param table samples of one table stand together in the report */
  samples(table: string, name: string, unit: string, samples: readonly number[]): Spread {
    this.records.push({ kind: 'samples', table, name, unit, samples: samples.map(rounded) })
    const found = spread(samples)
    process.stdout.write(
      `${table} · ${name}: ${show(found.median)} ${unit} (${show(found.low)}–${show(found.high)})\n`,
    )
    return found
  }

  /** A line of the report's plot. Those of one unit share a panel. */
  trace(name: string, unit: string, seconds: readonly number[], values: readonly number[]): void {
    this.records.push({
      kind: 'trace',
      name,
      unit,
      seconds: seconds.map(rounded),
      values: values.map(rounded),
    })
  }

  goal(name: string, value: number, limit: { atMost: number } | { atLeast: number }, unit: string): void {
    const met = 'atMost' in limit ? value <= limit.atMost : value >= limit.atLeast
    this.records.push({ kind: 'goal', name, value: rounded(value), ...limit, unit, met })
    process.stdout.write(
      `goal · ${name}: ${show(value)} ${unit} ${met ? '✓' : '✗'} ${JSON.stringify(limit)}\n`,
    )
  }

  /** Gone when the question is answered, or was not. */
  temporaryFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'tracelet-bench-'))
    this.#folders.push(folder)
    return folder
  }

  /** @internal */
  removeFolders(): void {
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true })
  }

  /**
   * All sums must be equal.
   * @throws LawBroken
   */
  law(name: string, sums: Readonly<Record<string, number>>): void {
    if (new Set(Object.values(sums)).size > 1) throw new LawBroken(`${name}: ${JSON.stringify(sums)}`)
    this.records.push({ kind: 'law', name, sums })
  }
}

/** Runs one question and writes its report; nothing is written when the law breaks. */
export async function answer(question: Question, options: BenchOptions): Promise<Outcome> {
  const bench = new Bench(options.quick, options.minutes)
  const begin = performance.now()
  bench.records.push({ kind: 'machine', ...describeMachine(question.name, options.quick) })
  process.stdout.write(`# ${question.name}\n`)
  try {
    await question.run(bench)
  } catch (error) {
    if (!(error instanceof LawBroken)) throw error
    process.stderr.write(`${question.name}: void, the conservation law is broken: ${error.message}\n`)
    return OUTCOME.void
  } finally {
    bench.removeFolders()
  }
  bench.records.push({
    kind: 'end',
    load: loadavg()[0]!,
    seconds: rounded((performance.now() - begin) / 1000),
  })
  writeReport(question, bench.records, options.reportsFolder)
  // the figures of a second say nothing of goals
  const missed = bench.records.some((record) => record.kind === 'goal' && !record.met)
  return missed && !options.quick ? OUTCOME.goalMissed : OUTCOME.answered
}

function writeReport(question: Question, records: readonly RawRecord[], folder: string): void {
  const dataFolder = join(folder, 'data')
  mkdirSync(dataFolder, { recursive: true })
  const major = process.versions.node.split('.')[0]
  const path = join(dataFolder, `${question.name}-${major}.jsonl`)
  rmSync(`${path}.new`, { force: true })
  for (const record of records) appendFileSync(`${path}.new`, `${JSON.stringify(record)}\n`)
  renameSync(`${path}.new`, path)
  const traces = records.filter((record) => record.kind === 'trace')
  if (traces.length > 0) writeFileSync(join(dataFolder, `${question.name}-${major}.svg`), plot(traces))
  const report = join(folder, `${question.name}.md`)
  writeFileSync(report, renderReport(question, dataFolder))
  process.stdout.write(`written: ${report}, ${path}\n`)
}

export function describeMachine(question: string, quick: boolean): Machine {
  return {
    question,
    at: new Date().toISOString(),
    commit: commit(),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    load: loadavg()[0]!,
    mode: quick ? 'quick' : 'full',
  }
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim()
    const changed = git('status', '--porcelain', '--', 'src', 'bench') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'unknown'
  }
}

function rounded(value: number): number {
  return Number(value.toPrecision(6))
}

export function show(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}
