/** What two builds are compared by, and what a difference between them says. */
import type { RawRecord } from './harness.ts'
import { median, type Spread, spread } from './statistics.ts'

/** A call may cost so many times what it did, a rate may fall to so many times what it was. */
export const LIMIT = { cost: 1.05, rate: 0.95 } as const

export interface Figure {
  readonly question: string
  readonly table: string
  readonly name: string
  /** Control of the same table whose median is taken off: the same loop without the call. */
  readonly minus?: string
  readonly kind: keyof typeof LIMIT
  /** Shown only: nothing of ours is in it, so that its ratio is what the machine did. */
  readonly isControl?: true
}

const SUSTAINED = 'in bursts, 1 M points/s'
const BACKLOG = 'in bursts, drain thread without pause'
const LANE = 'the lane alone, no reader thread'
const STAGES = 'stages of the drain, one thread'

const call = (table: string, name: string, minus?: string): Figure => ({
  ...{ question: 'ring-push', table, name, kind: 'cost' },
  ...(minus === undefined ? {} : { minus }),
})
const rate = (table: string): Figure => ({ question: 'pipeline', table, name: 'journaled', kind: 'rate' })
const stage = (name: string): Figure => ({ question: 'pipeline', table: STAGES, name, kind: 'cost' })

export const FIGURES: readonly Figure[] = [
  ...[SUSTAINED, BACKLOG].flatMap((table) => [
    call(table, 'bound handle', 'loop without a call'),
    call(table, 'ten bound handles in turn', 'loop without a call'),
    call(table, 'log() of 10 keys', 'object of 10 keys without log()'),
  ]),
  call(LANE, 'LaneWriter.push'),
  call(LANE, 'LaneWriter.log'),
  call('paced at 1 M calls/s', 'bound handle, p50'),
  call('paced at 1 M calls/s', 'bound handle, p99'),
  { ...call(BACKLOG, 'object of 10 keys without log()'), isControl: true },
  { ...call('paced at 1 M calls/s', 'control loop, p50'), isControl: true },
  rate('10 series a step by handles'),
  rate('1 series a step by a handle'),
  rate('rows by log() of 10 keys'),
  rate('10 series a step by handles, two threads'),
  stage('taken, coalesced and journaled: 10 series a step'),
  stage('taken, coalesced and journaled: 1 series a step'),
  { ...stage('control: CRC of 16 bytes a point'), isControl: true },
]

export function labelOf({ question, table, name, minus }: Figure): string {
  return `${question} · ${table} · ${name}${minus === undefined ? '' : `, less the ${minus}`}`
}

/**
 * The figure as one run of its question has it.
 * @throws Error when that run did not measure it: the builds ask different questions then
 */
export function figureOf(figure: Figure, records: readonly RawRecord[]): number {
  const medianOf = (name: string) => {
    const found = records.find(
      (record) => record.kind === 'samples' && record.table === figure.table && record.name === name,
    )
    if (found?.kind !== 'samples') throw new Error(`not measured: ${figure.table} · ${name}`)
    return median(found.samples)
  }
  return medianOf(figure.name) - (figure.minus === undefined ? 0 : medianOf(figure.minus))
}

/** `held`: within the limit, whatever the noise; `worse`: beyond it, whatever the noise; else nobody can say. */
export type Verdict = 'held' | 'worse' | 'undecided' | 'control'

export interface Comparison {
  readonly before: Spread
  readonly now: Spread
  /** Median over the rounds of now / before. */
  readonly ratio: number
  /** Holds the true median ratio in at least 95 of 100 comparisons, whatever the noise looks like. */
  readonly interval: readonly [low: number, high: number]
  readonly verdict: Verdict
}

/** @param before one value a round, as `now`: measured side by side */
export function compareRounds(figure: Figure, before: readonly number[], now: readonly number[]): Comparison {
  const ratios = now.map((value, round) => value / before[round]!).sort((a, b) => a - b)
  const interval = medianInterval(ratios)
  return {
    before: spread(before),
    now: spread(now),
    ratio: (ratios[(ratios.length - 1) >> 1]! + ratios[ratios.length >> 1]!) / 2,
    interval,
    verdict: figure.isControl ? 'control' : verdictOf(figure.kind, interval),
  }
}

function verdictOf(kind: Figure['kind'], [low, high]: readonly [number, number]): Verdict {
  const limit = LIMIT[kind]
  if (kind === 'cost') return low > limit ? 'worse' : high <= limit ? 'held' : 'undecided'
  return high < limit ? 'worse' : low >= limit ? 'held' : 'undecided'
}

/**
 * The narrowest pair of order statistics that holds the median with 95 % (the sign test's interval: it asks nothing
 * of how the noise is distributed). Below 6 values there is none, and anything may be.
 * @param sorted ascending
 */
export function medianInterval(sorted: readonly number[]): readonly [low: number, high: number] {
  const count = sorted.length
  let outside = 0
  let term = 2 ** -count
  let cut = -1
  // chance that at most `cut` of `count` values stand on one side of the median, both sides together
  while (2 * (outside += term) <= 0.05) {
    cut++
    term *= (count - cut) / (cut + 1)
  }
  return cut < 0 ? [0, Infinity] : [sorted[cut]!, sorted[count - 1 - cut]!]
}
