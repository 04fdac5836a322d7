/** `tracelet prune`: frees the disk of runs that are ended and delivered. */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { type Command, DIR_OPTION, EXIT, JSON_OPTION, rootFolder, timeSpan, UsageError } from '../command.ts'
import { chosenStates, listRuns } from '../ls.ts'
import { isUnreadable, type Overview, tryOverview } from '../overview.ts'
import { alignedTable } from '../table.ts'
import { terminalColumns } from '../terminal.ts'
import { bytes, count, dateTime, jsonText, plain } from '../text.ts'
import { diskBytes, type PruneRules, whyKept } from './removable.ts'
import { removeLeftOvers, removeRun } from './remove-run.ts'

const DEFAULT_AGE = '30d'

export const pruneCommand: Command = {
  name: 'prune',
  summary: 'remove ended runs that every destination has got, to free the disk',
  usage:
    'prune [--older-than 30d] [--state STATE] [--project P] [--dir DIR] [--dry-run | --yes] [--only-copies] [--force] [--json]',
  options: {
    'older-than': {
      type: 'string',
      doc: `runs that were not written to for so long, such as 12h, 30d, 4w; 0 for all (default: ${DEFAULT_AGE})`,
    },
    state: {
      type: 'string',
      multiple: true,
      doc: 'runs in these states: finished, failed, killed, died (default: all but died)',
    },
    project: { type: 'string', doc: 'only runs of this project' },
    'dry-run': { type: 'boolean', doc: 'only say what would be removed' },
    yes: { type: 'boolean', doc: 'do not ask; needed where there is no terminal' },
    'only-copies': { type: 'boolean', doc: 'also runs that are nowhere but in their own folder' },
    force: {
      type: 'boolean',
      doc: 'also runs that are not delivered, whose points are lost; never live ones',
    },
    dir: DIR_OPTION,
    json: JSON_OPTION,
  },
  outlivesReader: true,
  exits: {
    [EXIT.ok]: 'what was to go is gone, or would go',
    [EXIT.failed]: 'a run could not be removed or read, or the question was answered with no',
  },
  async run(values) {
    const rules: PruneRules = {
      states: chosenStates(values.state as string[] | undefined) ?? ['finished', 'failed', 'killed'],
      olderThanMs: timeSpan((values['older-than'] as string | undefined) ?? DEFAULT_AGE, 'older-than'),
      force: values.force === true,
      onlyCopies: values['only-copies'] === true,
    }
    if (rules.states.includes('running')) throw new UsageError('prune: a running run is never removed')
    const isDry = values['dry-run'] === true
    const isJson = values.json === true
    const asks = !isDry && values.yes !== true
    if (asks && (isJson || !process.stdin.isTTY || !process.stdout.isTTY)) {
      throw new UsageError('prune: nobody can be asked here: give --yes to remove, or --dry-run to look')
    }
    const root = rootFolder(values)
    const plan = makePlan(root, rules, values.project as string | undefined)
    if (!isJson) process.stdout.write(formatPlan(plan))
    if (plan.going.length > 0 && asks && !(await isConfirmed(plan))) {
      process.stdout.write('nothing was removed\n')
      return EXIT.failed
    }
    const done = isDry ? { removed: plan.going, failed: [] } : carryOut(root, plan, rules)
    process.stdout.write(isJson ? `${jsonText(toJson(plan, done, isDry))}\n` : formatDone(done, isDry))
    return done.failed.length + plan.unreadable.length > 0 ? EXIT.failed : EXIT.ok
  },
}

interface Going {
  readonly run: Overview
  readonly bytes: number
}
interface Plan {
  readonly going: readonly Going[]
  /** What somebody might have expected to go. */
  readonly kept: readonly { readonly run: Overview; readonly reason: string }[]
  readonly unreadable: readonly { readonly folder: string; readonly reason: string }[]
}
interface Done {
  readonly removed: readonly Going[]
  readonly failed: readonly { readonly run: Overview; readonly reason: string }[]
}

function makePlan(root: string, rules: PruneRules, project: string | undefined): Plan {
  const now = Date.now()
  const going: Going[] = []
  const kept: { run: Overview; reason: string }[] = []
  const unreadable: { folder: string; reason: string }[] = []
  for (const run of listRuns(root, { project })) {
    if (isUnreadable(run)) {
      unreadable.push({ folder: run.folder, reason: `${run.error.code}: ${run.error.message}` })
      continue
    }
    try {
      const why = whyKept(run, rules, now)
      if (why === undefined) going.push({ run, bytes: diskBytes(run.folder) })
      else if (!why.quietly) kept.push({ run, reason: why.reason })
    } catch (error) {
      // another prune has taken it meanwhile
      if (existsSync(run.folder)) throw error
    }
  }
  return { going, kept, unreadable }
}

function carryOut(root: string, { going }: Plan, rules: PruneRules): Done {
  const removed: Going[] = []
  const failed: { run: Overview; reason: string }[] = []
  removeLeftOvers(root, Date.now())
  for (const one of going) {
    const { run } = one
    const reason = removeRun(run, () => stillKept(run.folder, rules))
    if (reason === undefined) removed.push(one)
    else failed.push({ run, reason })
  }
  return { removed, failed }
}

/** Since it was looked at the run may have been resumed and ended again. Our own guards are held meanwhile. */
function stillKept(folder: string, rules: PruneRules): string | undefined {
  const now = tryOverview(folder)
  if (isUnreadable(now)) return now.error.message
  const state = now.state === 'running' ? 'died' : now.state
  if (!rules.states.includes(state)) return `it is ${state} now`
  const isOwed = now.destinations.some(({ points, records }) => points + records > 0)
  return isOwed && !rules.force ? 'more was logged meanwhile' : undefined
}

async function isConfirmed({ going }: Plan): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await reader.question(
      `remove ${runsWord(going.length)}, ${bytes(sumOf(going))}, for good? [y/N] `,
    )
    return /^y(es)?$/i.test(answer.trim())
  } catch {
    // Ctrl-C or Ctrl-D at the question
    return false
  } finally {
    reader.close()
  }
}

function formatPlan({ going, kept, unreadable }: Plan): string {
  const rows = going.map(({ run, bytes: size }) => [
    plain(run.info.id),
    plain(run.info.project),
    run.state,
    dateTime(run.info.createdAt),
    count(run.points),
    bytes(size),
  ])
  const lines = alignedTable(rows, '', { left: [0, 1, 2, 3], columns: terminalColumns() })
  const stays = kept.map(({ run, reason }) => `stays: ${plain(run.info.id)}: ${plain(reason)}`)
  const bad = unreadable.map(({ folder, reason }) => `stays: ${plain(folder)}: ${plain(reason)}`)
  return [...lines, ...stays, ...bad].map((line) => `${line}\n`).join('')
}

function formatDone({ removed, failed }: Done, isDry: boolean): string {
  const lines = failed.map(({ run, reason }) => `stays: ${plain(run.info.id)}: ${plain(reason)}`)
  const freed = bytes(sumOf(removed))
  lines.push(
    removed.length === 0
      ? 'nothing to remove'
      : `${isDry ? 'would remove' : 'removed'} ${runsWord(removed.length)}, ${freed}${isDry ? '' : ' freed'}`,
  )
  return `${lines.join('\n')}\n`
}

function toJson({ kept, unreadable }: Plan, { removed, failed }: Done, isDry: boolean) {
  const named = ({ run, ...rest }: { readonly run: Overview }) => ({
    id: run.info.id,
    project: run.info.project,
    folder: run.folder,
    ...rest,
  })
  return {
    dryRun: isDry,
    removed: removed.map(named),
    bytesFreed: sumOf(removed),
    kept: [...kept, ...failed].map(named),
    unreadable,
  }
}

function sumOf(going: readonly Going[]): number {
  return going.reduce((sum, { bytes: size }) => sum + size, 0)
}

function runsWord(runs: number): string {
  return runs === 1 ? '1 run' : `${count(runs)} runs`
}
