/** One run from end to end: its journal, what each destination has of it, the content it keeps. */
import { TraceletError } from '../../core/errors.ts'
import type { JournalEntry, RunRecord, UnknownRecord } from '../../core/types.ts'
import { openJournal } from '../../pipeline/journal/reader.ts'
import { countUnreadableLetters } from '../../pipeline/store/dead-letters.ts'
import { readRunFile } from '../../pipeline/store/run-file.ts'
import type { Finding } from '../../sinks/contract.ts'
import type { Overview } from '../overview.ts'
import { refusalsOf } from '../refusals.ts'
import { count } from '../text.ts'
import { guardFindings } from './guards.ts'
import { blobFault, blobsOf } from './run-blobs.ts'

const MAX_NAMED = 5

export function runFindings(overview: Overview): Finding[] {
  return [
    ...fileFindings(overview.folder),
    ...journalFindings(overview.folder, overview.info.id),
    ...guardFindings(overview.folder),
    ...destinationFindings(overview),
    ...refusalFindings(overview.folder),
  ]
}

/** `run.json` and the dead letters: what is damaged there costs nothing but itself. */
function fileFindings(folder: string): Finding[] {
  const findings: Finding[] = []
  readRunFile(folder, ({ message }) => {
    const fix = 'nothing: one of the two is enough, and the next start of the run mends both'
    findings.push({ level: 'warn', what: 'run.json', seen: message, fix })
  })
  if (findings.length === 0) findings.push({ level: 'ok', what: 'run.json', seen: 'sound' })
  const unreadable = countUnreadableLetters(folder)
  if (unreadable > 0) {
    const seen = `${count(unreadable)} lines of dead-letters.jsonl cannot be read`
    const fix = 'nothing: the others can, and nothing that is delivered depends on them'
    findings.push({ level: 'warn', what: 'dead letters', seen, fix })
  }
  return findings
}

function journalFindings(folder: string, runId: string): Finding[] {
  const damage: string[] = []
  let gone = 0
  let held = 0
  const missing: string[] = []
  const seen = new Set<string>()
  const look = (record: RunRecord | UnknownRecord) => {
    for (const blob of blobsOf(folder, record)) {
      if (seen.has(blob.digest)) continue
      seen.add(blob.digest)
      const fault = blobFault(folder, blob)
      if (fault !== undefined) missing.push(`${record.kind}: ${fault}`)
    }
  }
  let removed = 0
  const reader = openJournal(folder, { live: false, runId })
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entry.kind === 'points') held += entry.points.length
      else if (entry.kind === 'record') {
        held++
        look(entry.record)
      } else if (entry.kind === 'corrupt') {
        gone += entry.points + entry.records
        damage.push(rangeOf(entry))
      } else if (entry.kind === 'gone') removed += entry.points + entry.records
    }
  } catch (error) {
    if (!(error instanceof TraceletError)) throw error
    return [
      {
        level: 'fail',
        what: 'journal',
        seen: `${error.code}: ${error.message}`,
        fix: 'use the newest tracelet',
      },
    ]
  } finally {
    reader.close()
  }
  const findings: Finding[] = []
  if (gone === 0)
    findings.push({ level: 'ok', what: 'journal', seen: `${count(held)} points and records, all sound` })
  else {
    findings.push({
      level: 'fail',
      what: 'journal',
      seen: `${count(gone)} are lost to damage (${few(damage)}); ${count(held)} are sound`,
      fix: 'the sound ones are delivered; look at the disk, and at a backup of the folder for the rest',
    })
  }
  if (removed > 0) {
    const seen = `the first ${count(removed)} points and records are not there any more`
    const fix = 'nothing, if retention removed them; else copy the first segments (journal-*.tlj) back'
    findings.push({ level: 'warn', what: 'history', seen, fix })
  }
  const { lost, lostRecords } = reader.carried
  if (lost + lostRecords > 0) {
    findings.push({
      level: 'warn',
      what: 'losses',
      seen: `${count(lost)} points and ${count(lostRecords)} records never got into the journal (full ring or disk)`,
      fix: 'give the run more room: laneSlots, blockMaxMs, disk space',
    })
  }
  if (missing.length > 0) {
    findings.push({
      level: 'fail',
      what: 'content',
      seen: `${count(missing.length)} of ${count(seen.size)} blobs: ${few(missing)}`,
      fix: 'copy the run with its folder blobs/, before it is delivered; what was rejected for it stays so',
    })
  } else if (seen.size > 0)
    findings.push({ level: 'ok', what: 'content', seen: `${count(seen.size)} blobs in place` })
  return findings
}

function destinationFindings({ destinations, info, points, records }: Overview): Finding[] {
  return destinations.flatMap((one): Finding[] => {
    const what = one.name
    const findings: Finding[] = one.cursors.damage.map((seen) => ({
      level: 'warn',
      what,
      seen,
      fix: 'nothing: what was sent is sent again, which changes nothing there',
    }))
    const ahead = Math.max(one.cursors.rows?.seq ?? 0, one.cursors.uploads?.seq ?? 0) - points - records
    if (ahead > 0) {
      findings.push({
        level: 'warn',
        what,
        seen: `has ${count(ahead)} more than the journal: its end was lost, as by a power cut`,
        fix: 'nothing: the destination keeps what it has',
      })
    }
    const owed = one.points + one.records
    if (owed > 0) {
      findings.push({
        level: 'warn',
        what,
        seen: `${count(one.points)} points and ${count(one.records)} records are pending`,
        fix: `tracelet sync ${info.id}`,
      })
    } else findings.push({ level: 'ok', what, seen: 'has everything' })
    return findings
  })
}

function refusalFindings(folder: string): Finding[] {
  return refusalsOf(folder).map(({ destination, code, reason, count: times }) => ({
    level: 'warn',
    what: destination,
    seen: `refused ${count(times)}: ${code}: ${reason}`,
    fix: 'dead-letters.jsonl of the run names each; the journal keeps them',
  }))
}

function rangeOf({ seq, points, records }: Extract<JournalEntry, { kind: 'corrupt' }>): string {
  const last = seq + points + records - 1
  const range = last === seq ? `number ${seq}` : `numbers ${seq} to ${last}`
  return `${range}: ${count(points)} points and ${count(records)} records`
}

function few(texts: readonly string[]): string {
  const named = texts.slice(0, MAX_NAMED).join('; ')
  return texts.length > MAX_NAMED ? `${named}; and ${texts.length - MAX_NAMED} more` : named
}
