/** Guards that are in nobody's hands, or in those of another machine. */
import { basename } from 'node:path'
import { listRunFolders } from '../../pipeline/store/folder.ts'
import { readGuards, type SeenGuard } from '../../pipeline/store/guard-look.ts'
import type { Finding } from '../../sinks/contract.ts'
import { duration } from '../../core/duration.ts'

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
  const who = holder === undefined ? '' : `process ${holder.pid} on ${holder.hostname}`
  const what = 'guard'
  const seen = `run ${run}, ${name}: ${who}`
  if (state === 'held' && holder?.isElsewhere !== true) return { level: 'ok', what, seen: `${seen} lives` }
  if (state === 'held') {
    return {
      level: 'warn',
      what,
      seen: `${seen}, which cannot be seen from here, touched it ${duration(touchedAgoMs)} ago`,
      fix: 'let that process finish; five minutes after its last touch it counts as gone',
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
  if (state === 'copied')
    return { level: 'ok', what, seen: `${seen}: came with a copied folder, holds nothing` }
  return {
    level: 'warn',
    what,
    seen: `${path} cannot be read`,
    fix: 'use the newest tracelet; if none made it, remove the file',
  }
}
