/** `--watch` in a terminal: what it says, and how it ends. */
import { isSynced, type SyncOutcome } from '../../pipeline/delivery/sync-outcome.ts'
import type { SyncRunsOptions } from '../../pipeline/delivery/sync-runs.ts'
import { say } from '../../pipeline/say.ts'
import { EXIT } from '../command.ts'
import { Ending } from '../ending.ts'
import { jsonText, plain } from '../text.ts'
import { allRuns, namedRuns, type Places, type Unfound } from './folders.ts'
import { formatNotSynced, formatRunLine, toJson } from './report.ts'
import { Told } from './told.ts'
import { GRACE_MS, watch } from './watch.ts'

export interface WatchCommand extends Omit<SyncRunsOptions, 'onEnd' | 'onMessage' | 'onDamage'> {
  readonly intervalMs: number
  /** Runs and folders; the root folder where there are none. */
  readonly named: readonly string[]
  readonly places: Places
  readonly isJson: boolean
}

/** @returns the exit code @throws what is wrong with a word when the watch begins */
export async function watchUntilSignal(command: WatchCommand): Promise<number> {
  const { named, places, isJson, ...options } = command
  const saidOf = new Set<string>()
  const unfoundSaid = ({ folder, error }: Unfound) => {
    const message = `${folder}: ${(error as Error).message}`
    if (!saidOf.has(message)) say(message)
    saidOf.add(message)
  }
  let last: readonly string[] | undefined
  const list = () => {
    try {
      if (named.length > 0) {
        const { folders, unfound } = namedRuns(named, places)
        for (const one of unfound) unfoundSaid(one)
        last = folders
      } else last = allRuns(places)
    } catch (error) {
      // a disk that fails for a moment does not end what has begun
      if (last === undefined) throw error
      unfoundSaid({ folder: places.dir, error })
    }
    return last
  }
  const where = named.length === 0 ? places.dir : named.join(' ')
  process.stderr.write(`watching ${plain(where)} every ${options.intervalMs / 1000} s; Ctrl-C ends it\n`)
  const told = new Told(true, () => {})
  const end = new Ending(`what is under way has ${GRACE_MS / 1000} s`)
  try {
    const isDelivered = await watch({
      ...options,
      list,
      onMessage: (message) => told.hear(message),
      onDamage: (issue) => told.damaged(issue),
      onOutcome: (outcome) => show(outcome, isJson),
      signal: end.signal,
    })
    return isDelivered ? EXIT.ok : EXIT.failed
  } finally {
    end.stop()
  }
}

function show(outcome: SyncOutcome, isJson: boolean): void {
  const line = isSynced(outcome) ? formatRunLine(outcome) : formatNotSynced(outcome)
  if (line === undefined) return
  if (isJson) process.stdout.write(`${jsonText(toJson(outcome))}\n`)
  else if (isSynced(outcome)) process.stdout.write(`${line}\n`)
  else say(line)
}
