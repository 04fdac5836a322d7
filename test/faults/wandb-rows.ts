/**
 * What the program that is killed logs, as functions of the row's number, and what W&B must hold of it: a model of the
 * history that knows nothing of the sink. It reads a run's journal through `openRun` and makes each line by the rules
 * that users are told.
 */
import { openRun } from '../../src/index.ts'

/** 2 from row to row: a row that comes late finds a step that nobody had. */
const STEP = 2
const LATE_EVERY = 97
const LATE_BY = 40
/** Of times: so that no two rows have the same, and thousandths of a second are whole. */
const TIME_MS = 1
/** Of row 0; far ahead, so that no run begins after its rows. */
export const EPOCH_MS = 1_900_000_000_000

export interface RowAt {
  readonly step: number
  readonly time: number
  readonly values: Readonly<Record<string, number>>
}

export function rowAt(row: number): RowAt {
  const isLate = row % LATE_EVERY === LATE_EVERY - 1
  return {
    step: STEP * (isLate ? row - LATE_BY : row),
    time: EPOCH_MS + row * TIME_MS,
    values: {
      loss: Math.sin(row) * 2 ** ((row % 40) - 20),
      'val/größe.漢': row,
      ...(row % 50 === 0 && { odd: [Number.NaN, Infinity, -Infinity, -0, 2 ** 53 - 1][(row / 50) % 5]! }),
      ...(row % 500 === 0 && { 'system/gpu.0.temp': 40 + (row % 30) }),
    },
  }
}

export type Line = Readonly<Record<string, unknown>>

/** A row of the journal: what was logged in one call. */
interface StoredRow {
  readonly step: number
  readonly time: number
  readonly values: Map<string, number>
}

/** The rows of a journal in their order. Each call has a time of its own, and times rise. */
export function storedRows(folder: string): StoredRow[] {
  const run = openRun(folder)
  const rows = new Map<number, StoredRow>()
  for (const { name } of run.series()) {
    const { step, time, value } = run.history(name)
    for (let i = 0; i < step.length; i++) {
      let row = rows.get(time[i]!)
      if (row === undefined) rows.set(time[i]!, (row = { step: step[i]!, time: time[i]!, values: new Map() }))
      if (row.step !== step[i]) throw new Error(`two steps at ${time[i]}`)
      row.values.set(name, value[i]!)
    }
  }
  return [...rows.values()].sort((a, b) => a.time - b.time)
}

/** Lines of the history and of the system's metrics, and how many rows have got another `_step` than theirs. */
export function modelOf(folder: string): { history: Line[]; events: Line[]; renumbered: number } {
  const { createdAt } = openRun(folder).info
  const history: Line[] = []
  const events: Line[] = []
  let last = -1
  let renumbered = 0
  for (const { step, time, values } of storedRows(folder)) {
    const times = { _timestamp: time / 1000, _runtime: (time - createdAt) / 1000 }
    const all = [...values]
    const system = all.filter(([name]) => name.startsWith('system/'))
    const others = all.filter(([name]) => !name.startsWith('system/'))
    if (system.length > 0) {
      const named = system.map(([name, value]) => [`system.${name.slice('system/'.length)}`, value])
      events.push({ _wandb: true, ...times, ...Object.fromEntries(named) })
    }
    if (others.length === 0) continue
    if (step <= last) renumbered++
    last = Math.max(step, last + 1)
    // W&B has no negative zero
    const plain = others.map(([name, value]) => [name, value + 0])
    history.push({ _step: last, global_step: step, ...times, ...Object.fromEntries(plain) })
  }
  return { history, events, renumbered }
}

/** Lines as the server holds them: JSON with bare NaN and infinities. */
export function parseLine(line: string): Line {
  const quoted = line.replaceAll(/([:,[])(NaN|-?Infinity)(?=[,}\]])/g, '$1"@$2"')
  return JSON.parse(quoted, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith('@') ? Number(value.slice(1)) : value,
  ) as Line
}
