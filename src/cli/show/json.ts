/** What `tracelet show --json` prints. */
import { openRun } from '../../index.ts'
import { isElsewhere } from '../overview.ts'
import { settledOf } from '../saved-cursors.ts'
import { kindsOf, summaryValue } from './read-run.ts'
import { chosenSummaries, type Shown } from './shown.ts'

/** @param hasPoints the points of each series too */
export function shownAsJson(shown: Shown, hasPoints: boolean) {
  const { overview, content, refusals, lags } = shown
  const { info, state, folder } = overview
  const { params, tags, notes, definitions, items, stateAt, corrupt } = content
  const { nonce: _, ...told } = info
  const stored = hasPoints ? openRun(folder) : undefined
  return {
    ...told,
    state,
    ...(state !== 'running' && stateAt !== undefined && { stateAt }),
    points: overview.points,
    records: overview.records,
    corrupt,
    params: Object.fromEntries(params),
    tags: Object.fromEntries(tags),
    notes,
    series: chosenSummaries(shown).map((summary) => ({
      name: summary.name,
      ...(summary.context !== '' && { context: summary.context }),
      points: summary.points,
      lastStep: summary.last.step,
      ...(summary.axis !== undefined && { axis: summary.axis }),
      ...Object.fromEntries(kindsOf(summary, definitions).map((kind) => [kind, summaryValue(summary, kind)])),
      ...(stored && pointsOf(stored.history(summary.name, summary.context))),
    })),
    items,
    destinations: overview.destinations.map(({ name, destination, cursors, points, records }) => ({
      name,
      kind: destination.kind,
      address: destination.address,
      ...(cursors.rows?.url !== undefined && { url: isElsewhere(destination) ? cursors.rows.url : folder }),
      pending: { points, records },
      lagMs: lags.get(name) ?? 0,
      ...settledOf(cursors),
      refusals: refusals
        .filter((refusal) => refusal.destination === name)
        .map(({ code, reason, count }) => ({ code, reason, count })),
    })),
  }
}

function pointsOf(history: Record<'step' | 'time' | 'value', Float64Array>) {
  return {
    history: {
      step: Array.from(history.step),
      time: Array.from(history.time),
      value: Array.from(history.value),
    },
  }
}
