/** `tracelet show`: one run, from its journal and from what its destinations have got. */
import { openRun, type SeriesSummary } from '../../index.ts'
import { readDeadLetters } from '../../pipeline/store/dead-letters.ts'
import {
  type Command,
  DIR_OPTION,
  EXIT,
  JSON_OPTION,
  onlyWord,
  PROJECT_OPTION,
  rootFolder,
  UsageError,
} from '../command.ts'
import { type Overview, overviewOf } from '../overview.ts'
import { fitsPattern } from '../series-pattern.ts'
import { terminalColumns } from '../terminal.ts'
import { jsonText, plain } from '../text.ts'
import { axesOf, STEPS } from './axis.ts'
import { formatShown } from './format.ts'
import { kindsOf, type RunContent, readContent, summaryValue } from './read-run.ts'

export const showCommand: Command = {
  name: 'show',
  summary: 'one run: its series with plots, parameters, files, and where it has been delivered',
  usage: 'show RUN [--metric NAME …] [--no-plots] [--dir DIR] [--project P] [--json]',
  options: {
    metric: {
      type: 'string',
      multiple: true,
      doc: 'only these series; a name may end in *; with --json their points too',
    },
    'no-plots': { type: 'boolean', doc: 'numbers only' },
    dir: DIR_OPTION,
    project: PROJECT_OPTION,
    json: JSON_OPTION,
  },
  maxPositionals: 1,
  exits: { [EXIT.failed]: 'there is no such run, or it cannot be read' },
  async run(values, positionals) {
    const word = onlyWord('show', positionals, 'a run (its id or its folder)')
    const run = openRun(word, { dir: rootFolder(values), project: values.project as string | undefined })
    const { folder } = run.info
    const overview = overviewOf(folder)
    const summaries = run.summary()
    const hasPlots = values['no-plots'] !== true && values.json !== true
    const content = readContent(folder, hasPlots ? axesOf(run, summaries) : () => STEPS)
    const wanted = values.metric as string[] | undefined
    const shown: Shown = {
      overview,
      content: wanted === undefined ? content : onlySeries(content, wanted),
      summaries,
      refusals: refusalsOf(folder),
    }
    if (values.json === true) process.stdout.write(`${jsonText(toJson(shown, wanted !== undefined))}\n`)
    else {
      const layout = { columns: terminalColumns(), hasPlots, isChoice: wanted !== undefined }
      process.stdout.write(formatShown(shown, layout))
    }
    return EXIT.ok
  },
}

export interface Shown {
  readonly overview: Overview
  readonly content: RunContent
  readonly summaries: readonly SeriesSummary[]
  readonly refusals: readonly Refusal[]
}
/** Items that a destination refused for the same reason. */
export interface Refusal {
  readonly destination: string
  readonly code: string
  readonly reason: string
  readonly count: number
}

/** Of so many reasons that differ in a name or a number only the first are told apart. */
const MAX_REASONS = 20

export function refusalsOf(folder: string): Refusal[] {
  const found = new Map<string, { destination: string; code: string; reason: string; count: number }>()
  for (const { destination, code, reason } of readDeadLetters(folder)) {
    let key = `${destination} ${code} ${reason}`
    if (!found.has(key) && found.size >= MAX_REASONS) key = `${destination} ${code}`
    const known = found.get(key)
    if (known !== undefined) known.count++
    else found.set(key, { destination, code, reason, count: 1 })
  }
  return [...found.values()]
}

/** @throws UsageError when a name fits no series */
function onlySeries(content: RunContent, wanted: readonly string[]): RunContent {
  for (const pattern of wanted) {
    if (!content.curves.some(({ name }) => fitsPattern(pattern, name)))
      throw new UsageError(`show: the run has no series '${plain(pattern)}'`)
  }
  return {
    ...content,
    curves: content.curves.filter(({ name }) => wanted.some((pattern) => fitsPattern(pattern, name))),
  }
}

/** Of the series that are to be shown, in the order they first came. */
export function chosenSummaries({ content, summaries }: Shown): readonly SeriesSummary[] {
  const chosen = new Set(content.curves.map(({ name, context }) => `${name}\n${context}`))
  return summaries.filter(({ name, context }) => chosen.has(`${name}\n${context}`))
}

function toJson(shown: Shown, hasPoints: boolean) {
  const { overview, content, refusals } = shown
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
      ...(cursors.rows?.url !== undefined && { url: cursors.rows.url }),
      pending: { points, records },
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

/** What a destination has settled, by its two cursors together. */
export function settledOf({ rows, uploads }: Overview['destinations'][number]['cursors']) {
  const sum = (pick: (cursor: NonNullable<typeof rows>) => number) =>
    (rows ? pick(rows) : 0) + (uploads ? pick(uploads) : 0)
  return {
    delivered: sum(({ settled }) => settled.delivered),
    rejected: sum(({ settled }) => settled.rejected),
    filtered: sum(({ settled }) => settled.filtered),
    corrupt: sum(({ settled }) => settled.corrupt),
    recordsDelivered: sum(({ settled }) => settled.recordsDelivered),
    recordsRejected: sum(({ settled }) => settled.recordsRejected),
    recordsFiltered: sum(({ settled }) => settled.recordsFiltered),
    recordsCorrupt: sum(({ settled }) => settled.recordsCorrupt),
  }
}
