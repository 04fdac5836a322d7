/** `{"_type":"histogram","values":[n],"bins":[n + 1]}` */
import type { RunRecord } from '../../../core/types.ts'
import { numberText } from '../extended-json.ts'
import type { EntryNotice } from './entry.ts'

/** The SDK's own limit (`wandb.Histogram.MAX_LENGTH`). */
const MAX_BINS = 512

export function histogramJson(
  { name, edges, counts }: Extract<RunRecord, { kind: 'histogram' }>,
  tell: EntryNotice,
): string {
  const each = Math.ceil(counts.length / MAX_BINS)
  if (each > 1) {
    tell('bins', `W&B holds ${MAX_BINS} bins of a histogram: neighbours are merged (first in '${name}')`)
  }
  const values: string[] = []
  const bins: string[] = [numberText(edges[0]!)]
  for (let from = 0; from < counts.length; from += each) {
    const to = Math.min(from + each, counts.length)
    let sum = 0
    for (let at = from; at < to; at++) sum += counts[at]!
    values.push(numberText(sum))
    bins.push(numberText(edges[to]!))
  }
  return `{"_type":"histogram","values":[${values.join(',')}],"bins":[${bins.join(',')}]}`
}
