/** What `tracelet show` prints. Pure. */

import { duration } from '../../core/duration.ts'
import type { MetricSummary } from '../../core/types.ts'
import { statePaint } from '../ls.ts'
import { isElsewhere, isInJournal, type Overview } from '../overview.ts'
import { settledOf } from '../saved-cursors.ts'
import { alignedTable } from '../table.ts'
import { type Palette, palette } from '../terminal.ts'
import { bytes, count, dateTime, fit, plain, plainLines, value } from '../text.ts'
import type { Curve } from './curve.ts'
import { plotLines } from './plot.ts'
import { kindsOf, type RunContent, summaryValue } from './read-run.ts'
import { chosenSummaries, type Shown } from './shown.ts'

export interface ShowLayout {
  /** Of the terminal; undefined where the output is none. */
  readonly columns: number | undefined
  readonly hasPlots: boolean
  /** The user named the series. */
  readonly isChoice: boolean
}

const PLOT_ROWS = 6
const MAX_PLOT_COLUMNS = 100
/** More would be scrolled past. */
const MAX_PLOTS = 12
const INDENT = '  '
const SUMMARIES: readonly MetricSummary[] = ['last', 'min', 'max', 'mean', 'best']

export function formatShown(shown: Shown, layout: ShowLayout): string {
  const colours = palette()
  const { overview, content } = shown
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', colours.bold(title), ...lines]
  const params = [...content.params].map(([name, param]) => [plain(name), plain(String(param))])
  const tags = [...content.tags].map(([name, tag]) => [plain(name), plain(tag)])
  const lines = [
    ...headLines(overview, content, colours, layout.columns),
    ...section('series', seriesLines(shown, layout.columns, colours)),
    ...plots(content.curves, layout, colours),
    ...section('parameters', pairLines(params, layout.columns)),
    ...section('tags', pairLines(tags, layout.columns)),
    ...section('notes', notesLines(content.notes)),
    ...section('also logged', itemLines(content, layout.columns, colours)),
    ...section('destinations', destinationLines(shown, layout.columns, colours)),
  ]
  return `${lines.join('\n')}\n`
}

function headLines(
  { info, state, folder, points, records }: Overview,
  { stateAt, corrupt }: RunContent,
  colours: Palette,
  columns = Infinity,
): string[] {
  const isOver = stateAt !== undefined && (state === 'finished' || state === 'failed' || state === 'killed')
  const rows = [
    ['name', info.name === info.id ? '' : info.name],
    ['project', info.project],
    ['experiment', info.experiment],
    ['group', info.group ?? ''],
    ['parent', info.parent ?? ''],
    ['started', `${dateTime(info.createdAt)}${info.user === undefined ? '' : ` by ${info.user}`}`],
    ['ended', isOver ? `${dateTime(stateAt)}, after ${duration(Math.max(0, stateAt - info.createdAt))}` : ''],
    ['program', info.program ?? ''],
    ['folder', folder],
  ].filter(([, text]) => text !== '')
  const idColumns = Math.max(8, columns - state.length - 2)
  const lost = corrupt.points + corrupt.records
  return [
    `${colours.bold(fit(`run ${plain(info.id)}`, idColumns))}  ${statePaint(colours, state)(state)}`,
    ...pairLines(
      rows.map(([name, text]) => [name!, plain(text!)]),
      columns,
    ),
    fit(`${INDENT}${count(points)} points and ${count(records)} records in its journal`, columns),
    ...(lost > 0
      ? [INDENT + colours.red(`${count(lost)} of them were lost to damage; see tracelet doctor`)]
      : []),
  ]
}

function seriesLines(shown: Shown, columns: number | undefined, colours: Palette): string[] {
  const read = chosenSummaries(shown).map((summary) => ({
    summary,
    told: kindsOf(summary, shown.content.definitions),
  }))
  if (read.length === 0) return []
  const kinds = SUMMARIES.filter((kind) => read.some(({ told }) => told.includes(kind)))
  const rows = read.map(({ summary, told }) => [
    seriesName(summary),
    count(summary.points),
    count(summary.last.step),
    ...kinds.map((kind) => {
      const number = told.includes(kind) ? summaryValue(summary, kind) : undefined
      return number === undefined ? '' : value(number)
    }),
  ])
  return alignedTable([['', 'points', 'last step', ...kinds], ...rows], INDENT, {
    columns,
    paint: (cell, row) => (row === 0 ? colours.dim(cell) : cell),
  })
}

function seriesName({ name, context }: { readonly name: string; readonly context: string }): string {
  return plain(context === '' ? name : `${name} [${context}]`)
}

function plots(curves: readonly Curve[], layout: ShowLayout, colours: Palette): string[] {
  if (!layout.hasPlots) return []
  const chosen = layout.isChoice ? curves : curves.slice(0, MAX_PLOTS)
  const columns = Math.min(layout.columns ?? 80, MAX_PLOT_COLUMNS) - INDENT.length - 1
  const lines = chosen.flatMap((curve) => {
    const plot = plotLines(curve.buckets, { columns, rows: PLOT_ROWS, axis: curve.axis.name })
    const title = fit(seriesName(curve), columns)
    return plot.length === 0 ? [] : ['', INDENT + colours.bold(title), ...plot.map((line) => INDENT + line)]
  })
  const left = curves.length - chosen.length
  if (left > 0) lines.push('', INDENT + colours.dim(`${left} more series; --metric NAME plots them`))
  return lines
}

function notesLines(notes: string): string[] {
  return notes === '' ? [] : plainLines(notes.trimEnd()).map((line) => (INDENT + line).trimEnd())
}

/** Names and values, each value on its name's line. */
function pairLines(pairs: readonly (readonly string[])[], columns?: number): string[] {
  return alignedTable(pairs, INDENT, { left: [0, 1], columns })
}

function itemLines({ items }: RunContent, columns: number | undefined, colours: Palette): string[] {
  if (items.length === 0) return []
  const rows = items.map((item) => [
    item.kind,
    plain(item.name),
    plain(item.what),
    item.times === 1 ? '' : `${count(item.times)} ×`,
    item.lastStep === undefined ? '' : `step ${count(item.lastStep)}`,
    item.bytes === undefined ? '' : bytes(item.bytes),
  ])
  return alignedTable(rows, INDENT, {
    left: [0, 1, 2],
    columns,
    paint: (cell, _, column) => (column === 0 ? colours.dim(cell) : cell),
  })
}

function destinationLines(
  { overview, refusals, lags }: Shown,
  columns: number | undefined,
  colours: Palette,
): string[] {
  const { destinations, points, records } = overview
  if (destinations.length === 0) return []
  const rows = destinations.map((one) => {
    const isLocal = isInJournal(one.destination)
    const settled = settledOf(one.cursors)
    return [
      plain(one.name),
      count(isLocal ? points + records : settled.delivered + settled.recordsDelivered),
      count(one.points + one.records),
      count(settled.rejected + settled.recordsRejected),
      count(settled.filtered + settled.recordsFiltered),
    ]
  })
  const table = alignedTable([['', 'delivered', 'pending', 'rejected', 'filtered'], ...rows], INDENT, {
    columns,
    paint: (cell, row, column) =>
      row === 0 ? colours.dim(cell) : column === 2 && cell.trim() !== '0' ? colours.yellow(cell) : cell,
  })
  // never cut: it is there to be copied
  const places = destinations.map(
    (one) => `${INDENT}${plain(one.name)}: ${plain(placeOf(one, overview.folder))}`,
  )
  const late = [...lags].flatMap(([name, ms]) =>
    ms === 0 ? [] : [`${INDENT}${plain(name)} is ${duration(ms)} behind`],
  )
  const reasons = refusals.map(({ destination, code, reason, count: times }) =>
    colours.red(`${INDENT}${plain(destination)} refused ${count(times)}: ${plain(`${code}: ${reason}`)}`),
  )
  const owed = destinations.some((one) => one.points + one.records > 0)
  const hint = owed ? [`${INDENT}send the rest with: tracelet sync ${plain(overview.info.id)}`] : []
  return [...table, ...places, ...late, ...reasons, ...hint]
}

/** What the backend said when it was opened, else where it was told to write; a folder may have moved since. */
function placeOf({ destination, cursors }: Overview['destinations'][number], folder: string): string {
  if (!isElsewhere(destination)) return folder
  return cursors.rows?.url || destination.address
}
