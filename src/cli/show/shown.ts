/** All that `tracelet show` tells of a run. */
import type { SeriesSummary } from '../../index.ts'
import type { Overview } from '../overview.ts'
import type { Refusal } from '../refusals.ts'
import type { RunContent } from './read-run.ts'

export interface Shown {
  readonly overview: Overview
  readonly content: RunContent
  readonly summaries: readonly SeriesSummary[]
  readonly refusals: readonly Refusal[]
  /** By destination: how old the oldest is that waits, in ms; 0 when nothing does. */
  readonly lags: ReadonlyMap<string, number>
}

/** Of the series that are to be shown, in the order they first came. */
export function chosenSummaries({ content, summaries }: Shown): readonly SeriesSummary[] {
  const chosen = new Set(content.curves.map(({ name, context }) => `${name}\n${context}`))
  return summaries.filter(({ name, context }) => chosen.has(`${name}\n${context}`))
}
