/** `tracelet ls`: the runs under a root folder, newest first. */
import { existsSync } from 'node:fs'
import { listRunFolders } from '../pipeline/store/folder.ts'
import { type RunFile, readRunFile } from '../pipeline/store/run-file.ts'
import {
  type Command,
  DIR_OPTION,
  EXIT,
  JSON_OPTION,
  rootFolder,
  UsageError,
  wholeNumber,
  words,
} from './command.ts'
import {
  asTraceletError,
  isUnreadable,
  type Overview,
  RUN_STATES,
  type RunState,
  tryOverview,
  type Unreadable,
} from './overview.ts'
import { alignedTable } from './table.ts'
import { type Paint, palette, terminalColumns } from './terminal.ts'
import { count, dateTime, jsonText, plain } from './text.ts'

const MAX_LIMIT = 1_000_000

export const lsCommand: Command = {
  name: 'ls',
  summary: 'list runs, newest first: state, points, what is still to be delivered',
  usage: 'ls [--dir DIR] [--project P] [--state STATE] [--limit N] [--json]',
  options: {
    dir: DIR_OPTION,
    project: { type: 'string', doc: 'only runs of this project' },
    state: {
      type: 'string',
      multiple: true,
      doc: `only runs in these states: ${RUN_STATES.join(', ')} (died: its process ended without finish())`,
    },
    limit: { type: 'string', doc: 'at most so many runs (default: all)' },
    json: JSON_OPTION,
  },
  exits: { [EXIT.failed]: 'a run cannot be read' },
  async run(values) {
    const states = chosenStates(values.state as string[] | undefined)
    const limit =
      values.limit === undefined ? Infinity : wholeNumber(values.limit as string, 'limit', 1, MAX_LIMIT)
    const root = rootFolder(values)
    const project = values.project as string | undefined
    const runs = listRuns(root, { project, states, limit })
    if (values.json === true) process.stdout.write(`${jsonText(runs.map(toJson))}\n`)
    else if (runs.length === 0) process.stdout.write(`no such runs under ${plain(root)}\n`)
    else process.stdout.write(formatRuns(runs, terminalColumns()))
    return runs.some(isUnreadable) ? EXIT.failed : EXIT.ok
  },
}

export interface RunFilter {
  readonly project?: string | undefined
  readonly states?: readonly RunState[] | undefined
  readonly limit?: number
}

/** Newest first; runs that cannot be read come last. Of those beyond the limit nothing but `run.json` is read. */
export function listRuns(
  root: string,
  { project, states, limit = Infinity }: RunFilter,
): (Overview | Unreadable)[] {
  const known: { folder: string; file: RunFile }[] = []
  const unreadable: Unreadable[] = []
  for (const folder of listRunFolders(root)) {
    try {
      const file = readRunFile(folder)
      if (project === undefined || file.run.project === project) known.push({ folder, file })
    } catch (error) {
      if (existsSync(folder)) unreadable.push({ folder, error: asTraceletError(folder, error) })
    }
  }
  known.sort((a, b) => b.file.run.createdAt - a.file.run.createdAt || (a.folder < b.folder ? 1 : -1))
  const found: Overview[] = []
  for (const { folder, file } of known) {
    if (found.length >= limit) break
    const run = tryOverview(folder, file)
    // one that is pruned just now is none any more
    if (isUnreadable(run)) unreadable.push(...(existsSync(folder) ? [run] : []))
    else if (states === undefined || states.includes(run.state)) found.push(run)
  }
  return [...found, ...unreadable]
}

export function chosenStates(given: readonly string[] | undefined): RunState[] | undefined {
  if (given === undefined) return undefined
  const states = words(given)
  if (states.length === 0) throw new UsageError(`--state names no state; there are ${RUN_STATES.join(', ')}`)
  return states.map((word) => {
    const state = RUN_STATES.find((one) => one === word)
    if (state === undefined)
      throw new UsageError(`--state must be one of ${RUN_STATES.join(', ')}, but is '${plain(word)}'`)
    return state
  })
}

const HEADER = ['run', 'name', 'project', 'experiment', 'state', 'started', 'points', 'pending']
const STATE_COLUMN = 4
/** Left out in a narrow terminal, in this order: experiment, project, name, started, points. */
const SPARE_COLUMNS = [3, 2, 1, 5, 6]

/** @param columns of the terminal, if it is one */
function formatRuns(runs: readonly (Overview | Unreadable)[], columns: number | undefined): string {
  const colours = palette()
  const readable = runs.filter((run): run is Overview => !isUnreadable(run))
  const rows = readable.map((run) => [
    plain(run.info.id),
    run.info.name === run.info.id ? '' : plain(run.info.name),
    plain(run.info.project),
    plain(run.info.experiment),
    run.state,
    dateTime(run.info.createdAt),
    count(run.points),
    pendingWords(run),
  ])
  const lines =
    rows.length === 0
      ? []
      : alignedTable([HEADER, ...rows], '', {
          left: [0, 1, 2, 3, STATE_COLUMN, 5, 7],
          firm: [0, STATE_COLUMN, 5],
          spare: SPARE_COLUMNS,
          columns,
          paint: (cell, row, column) =>
            row === 0
              ? colours.dim(cell)
              : column === STATE_COLUMN
                ? statePaint(colours, rows[row - 1]![column]!)(cell)
                : cell,
        })
  const bad = runs.filter(isUnreadable).map(({ folder, error }) => {
    return colours.red(plain(`${folder}: ${error.code}: ${error.message}`))
  })
  return `${[...lines, ...bad].join('\n')}\n`
}

export function statePaint(colours: ReturnType<typeof palette>, state: string): Paint {
  if (state === 'running') return colours.cyan
  if (state === 'finished') return colours.green
  return state === 'killed' ? colours.yellow : colours.red
}

/** `mlflow 1,200  wandb 3`; 0 when everybody has everything. */
function pendingWords({ destinations }: Overview): string {
  const owed = destinations.filter(({ points, records }) => points + records > 0)
  if (owed.length === 0) return destinations.length === 0 ? '' : '0'
  return owed.map(({ name, points, records }) => `${plain(name)} ${count(points + records)}`).join('  ')
}

function toJson(run: Overview | Unreadable) {
  if (isUnreadable(run))
    return { folder: run.folder, error: { code: run.error.code, message: run.error.message } }
  const { info, state, points, records, destinations, folder } = run
  return {
    id: info.id,
    name: info.name,
    project: info.project,
    experiment: info.experiment,
    ...(info.group !== undefined && { group: info.group }),
    ...(info.parent !== undefined && { parent: info.parent }),
    state,
    startedAt: info.createdAt,
    folder,
    points,
    records,
    pending: Object.fromEntries(destinations.map(({ name, points, records }) => [name, { points, records }])),
  }
}
