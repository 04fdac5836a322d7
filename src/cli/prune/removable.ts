/** Which runs may go. Only looks: what it says is looked at again, under the run's guards, before anything is removed. */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { mayBeHeld, readGuards } from '../../pipeline/store/guard-look.ts'
import { isElsewhere, lastWrittenAt, type Overview, type RunState } from '../overview.ts'

export interface PruneRules {
  readonly states: readonly RunState[]
  readonly olderThanMs: number
  /** Also runs of which a destination has not got everything. */
  readonly force: boolean
  /** Also runs that are nowhere but in their own folder. */
  readonly onlyCopies: boolean
}

/** Why a run stays; undefined when it may go. `quietly`: it was not asked for, so nobody wonders why it stays. */
export function whyKept(
  run: Overview,
  rules: PruneRules,
  now: number,
): { readonly reason: string; readonly quietly?: true } | undefined {
  if (run.state === 'running') return { reason: 'it is running', quietly: true }
  if (!rules.states.includes(run.state)) return { reason: `it is ${run.state}`, quietly: true }
  if (now - lastWrittenAt(run) < rules.olderThanMs) return { reason: 'it is too young', quietly: true }
  const holder = readGuards(run.folder).find(mayBeHeld)
  if (holder !== undefined) return { reason: `a process holds its guard ${holder.name}` }
  const owed = run.destinations.filter(({ points, records }) => points + records > 0).map(({ name }) => name)
  if (owed.length > 0 && !rules.force) return { reason: `not delivered to ${owed.join(', ')} (--force)` }
  if (
    owed.length === 0 &&
    !rules.onlyCopies &&
    !run.destinations.some(({ destination }) => isElsewhere(destination))
  ) {
    return { reason: 'it is nowhere else (--only-copies)' }
  }
  return undefined
}

/** Bytes that a folder takes on its disk, links not followed. */
export function diskBytes(path: string): number {
  let stat: ReturnType<typeof lstatSync>
  try {
    stat = lstatSync(path)
  } catch {
    return 0
  }
  // where the system does not count blocks, the length is the best guess
  const own = stat.blocks > 0 ? stat.blocks * 512 : stat.size
  if (!stat.isDirectory()) return own
  let entries: string[]
  try {
    entries = readdirSync(path)
  } catch {
    return own
  }
  return entries.reduce((sum, name) => sum + diskBytes(join(path, name)), own)
}
