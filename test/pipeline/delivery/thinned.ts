/** What thinning must keep, computed the plain way from the whole journal. */
import type { ThinnedStretch } from '../../../src/core/types.ts'
import type { MemoryJournal } from './memory-journal.ts'

/**
 * Whether a point is kept: outside of the stretches all are.
 * @param keeps points that are chosen from
 */
export function extremesOf(
  journal: MemoryJournal,
  stretches: readonly ThinnedStretch[],
  keeps: (seq: number) => boolean = () => true,
): (seq: number) => boolean {
  const buckets = new Map<string, { seq: number; value: number }[]>()
  const stretchOf = (seq: number) => stretches.find(({ from, to }) => seq >= from && seq < to)
  for (const entry of journal.entries) {
    if (entry.kind !== 'points') continue
    for (let at = 0; at < entry.points.length; at++) {
      const seq = entry.seq + at
      const stretch = stretchOf(seq)
      if (stretch === undefined || !keeps(seq)) continue
      const bucket = Math.floor((seq - stretch.from) / stretch.bucket)
      const key = `${stretch.from} ${bucket} ${entry.points.series[at]}`
      const points = buckets.get(key) ?? []
      buckets.set(key, points)
      points.push({ seq, value: entry.points.value[at]! })
    }
  }
  const kept = new Set<number>()
  for (const points of buckets.values()) {
    const numbers = points.filter(({ value }) => !Number.isNaN(value))
    const lowest = Math.min(...numbers.map(({ value }) => value))
    const highest = Math.max(...numbers.map(({ value }) => value))
    // -0 and 0 are equal
    for (const wanted of [
      numbers.find(({ value }) => value === lowest),
      numbers.find(({ value }) => value === highest),
      points.find(({ value }) => Number.isNaN(value)),
    ])
      if (wanted !== undefined) kept.add(wanted.seq)
  }
  return (seq) => (stretchOf(seq) === undefined ? true : kept.has(seq))
}
