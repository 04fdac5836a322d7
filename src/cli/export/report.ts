/** What came of an export, for people and for programs. Pure. */
import { shellWord } from '../../core/shell.ts'
import { alignedTable } from '../table.ts'
import { count, plain } from '../text.ts'
import type { ExportedRun, ExportSink } from './export-run.ts'

const HEADER = ['', 'journaled', '= exported', '+ filtered', '+ rejected', '+ corrupt', '']
const PARTS = ['delivered', 'filtered', 'rejected', 'corrupt'] as const

/** Whether all of a run is in its export that has a place in the format. */
export function isWhole({ sums }: ExportedRun): boolean {
  return sums.rejected + sums.corrupt + sums.records.rejected + sums.records.corrupt === 0
}

export function formatExport(exported: ExportedRun, { exports: { command } }: ExportSink): string {
  const { run, path, points, records, sums, refusals, isLive, isUnended } = exported
  const rows = [row('points', points, sums), row('records', records, sums.records)]
  return [
    `run ${plain(run.id)}: ${plain(path)}`,
    ...alignedTable([HEADER, ...rows], '  '),
    ...refusals.map((one) => `  ${count(one.count)} rejected: ${one.code}: ${plain(one.reason)}`),
    ...(isLive ? ['  it is still being written: this is what was journaled when the export began'] : []),
    ...(isUnended ? ['  its process died without a word: the export has no end of the run'] : []),
    `  take it with: ${command} ${shellWord(plain(path))}`,
    '',
  ].join('\n')
}

/** As a JSON document has it. */
export function toJson({ run, sums, points, records, ...rest }: ExportedRun) {
  return {
    ...{ run: run.id, folder: run.folder, path: rest.path },
    points: { journaled: points, ...division(sums) },
    records: { journaled: records, ...division(sums.records) },
    ...{ refusals: rest.refusals, isLive: rest.isLive, isUnended: rest.isUnended },
  }
}

/** `2 runs exported, 1 not` */
export function closingLine(exported: number, failed: number): string {
  const runs = `${count(exported)} ${exported === 1 ? 'run' : 'runs'} exported`
  return `${runs}${failed > 0 ? `, ${count(failed)} not` : ''}\n`
}

type Sums = Readonly<Record<(typeof PARTS)[number], number>>

function row(name: string, journaled: number, sums: Sums): string[] {
  const total = PARTS.reduce((sum, part) => sum + sums[part], 0)
  return [name, count(journaled), ...PARTS.map((part) => count(sums[part])), total === journaled ? '✓' : '✗']
}

function division(sums: Sums) {
  const { delivered: exported, filtered, rejected, corrupt } = sums
  return { exported, filtered, rejected, corrupt }
}
