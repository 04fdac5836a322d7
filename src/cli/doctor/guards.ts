/** Guards that are in nobody's hands, or in those of another machine. */
import { basename } from 'node:path'
import { duration } from '../../core/duration.ts'
import { listRunFolders } from '../../pipeline/store/folder.ts'
import { UNSURE_UNTIL } from '../../pipeline/store/guard.ts'
import { readGuards, type SeenGuard } from '../../pipeline/store/guard-look.ts'
import type { Finding } from '../../sinks/contract.ts'

const MAX_NAMED = 5

export function allGuardFindings(root: string): Finding[] {
  const folders = listRunFolders(root)
  const findings = folders.flatMap((folder) => guardFindings(folder))
  const bad = findings.filter(({ level }) => level !== 'ok')
  const summary: Finding = {
    level: 'ok',
    what: 'guards',
    seen: `${folders.length} runs, ${findings.length - bad.length} guards in live hands, ${bad.length} others`,
  }
  const left = bad.length - MAX_NAMED
  const rest: Finding[] =
    left <= 0
      ? []
      : [{ level: 'warn', what: 'guards', seen: `${left} more`, fix: 'tracelet doctor RUN tells of each' }]
  return [summary, ...bad.slice(0, MAX_NAMED), ...rest]
}

export function guardFindings(folder: string): Finding[] {
  return readGuards(folder).map((guard) => guardFinding(basename(folder), guard))
}

function guardFinding(run: string, { name, state, holder, touchedAgoMs, path }: SeenGuard): Finding {
  const what = 'guard'
  if (holder === undefined) {
    const isGone = state === 'stale'
    return {
      level: 'warn',
      what,
      seen: `${path} cannot be read: damaged, or made by a newer tracelet; touched ${duration(touchedAgoMs)} ago`,
      fix: isGone
        ? 'nothing needs removing: it counts as gone, and the next start takes it over'
        : `let a newer tracelet finish; else nothing needs removing: ${UNSURE_UNTIL}`,
    }
  }
  const seen = `run ${run}, ${name}: process ${holder.pid} on ${holder.hostname}`
  if (state === 'held' && !holder.isElsewhere) return { level: 'ok', what, seen: `${seen} lives` }
  if (state === 'held') {
    return {
      level: 'warn',
      what,
      seen: `${seen}, which cannot be seen from here, touched it ${duration(touchedAgoMs)} ago`,
      fix: `let that process finish; ${UNSURE_UNTIL}`,
    }
  }
  if (state === 'stale') {
    return {
      level: 'warn',
      what,
      seen: `${seen} is gone and left it`,
      fix: `nothing needs removing: the next start takes it over; tracelet sync ${run} sends what is left`,
    }
  }
  return { level: 'ok', what, seen: `${seen}: came with a copied folder, holds nothing` }
}
