/** Medians and ranges: benches on shared machines have no use for means. */

/** From so many samples on, the range leaves out the lowest and the highest twentieth. */
export const MANY_SAMPLES = 40

export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly count: number
}

/** @param sorted ascending */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function spread(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b)
  const cut = sorted.length >= MANY_SAMPLES ? 0.05 : 0
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, cut),
    high: quantile(sorted, 1 - cut),
    count: sorted.length,
  }
}

export function median(samples: readonly number[]): number {
  return spread(samples).median
}

export interface Case {
  readonly name: string
  /** One sample. */
  readonly run: () => number | Promise<number>
}

/**
 * Runs every case once a round, so that all of them meet the same disturbances; the first one rotates, so that none
 * always follows the same neighbour.
 * @returns samples by name
 */
export async function interleave(
  cases: readonly Case[],
  rounds: number,
  betweenRounds?: (round: number) => void | Promise<void>,
): Promise<Map<string, number[]>> {
  const samples = new Map(cases.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < cases.length; turn++) {
      const { name, run } = cases[(round + turn) % cases.length]!
      // a case that measures within one tick must not be cut by a promise
      const sample = run()
      samples.get(name)!.push(typeof sample === 'number' ? sample : await sample)
    }
    const pause = betweenRounds?.(round)
    if (pause) await pause
  }
  return samples
}
