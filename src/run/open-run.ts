/** Reading a run back from its journal: the local truth, whatever the backends have. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type {
  JournalEntry,
  ParamValue,
  RunInfo,
  RunOutcome,
  RunRecord,
  Series,
  SeriesId,
  UnknownRecord,
} from '../core/types.ts'
import { openJournal } from '../pipeline/journal/reader.ts'
import { findRunFolder, RUN_FILE } from '../pipeline/store/folder.ts'
import { type RunDestination, readRunFile, runInfo } from '../pipeline/store/run-file.ts'
import { RUN_OPTIONS } from './options.ts'

export interface OpenRunOptions {
  /** Root folder; default `TRACELET_DIR`, else `./.tracelet`. */
  readonly dir?: string | undefined
  /** Needed only where several projects hold a run of that id. */
  readonly project?: string | undefined
}

/** A series as it was logged: point i is (step[i], time[i], value[i]), in the order of logging per producer. */
export interface History {
  readonly step: Float64Array
  /** Wall time in ms since 1970. */
  readonly time: Float64Array
  readonly value: Float64Array
}

/**
 * Opens a run for reading, also one that is being written: each call sees what is journaled by then.
 * @param run the run's id, or the path of its folder
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT
 */
export function openRun(run: string, options: OpenRunOptions = {}): StoredRun {
  const root = resolve(options.dir ?? process.env.TRACELET_DIR ?? RUN_OPTIONS.dir.default)
  const folder = existsSync(join(run, RUN_FILE)) ? resolve(run) : findRunFolder(root, run, options.project)
  return new StoredRun(folder)
}

export class StoredRun {
  readonly info: RunInfo
  readonly destinations: readonly RunDestination[]

  /** @internal made by `openRun` */
  constructor(folder: string) {
    const file = readRunFile(folder)
    this.info = runInfo(folder, file)
    this.destinations = file.destinations
  }

  /** All series with the number of their points, in the order they first came. */
  series(): (Series & { readonly points: number })[] {
    const found = new Map<SeriesId, Series & { points: number }>()
    this.#read((entry, describe) => {
      if (entry.kind !== 'points') return
      for (const id of entry.points.series) {
        const known = found.get(id)
        if (known) known.points++
        else found.set(id, { ...describe(id), points: 1 })
      }
    })
    return [...found.values()]
  }

  /** Every point of one series; empty arrays for one that was never logged. */
  history(name: string, context = ''): History {
    const step = new Column()
    const time = new Column()
    const value = new Column()
    let wanted: SeriesId | undefined
    const others = new Set<SeriesId>()
    this.#read((entry, describe) => {
      if (entry.kind !== 'points') return
      const { points } = entry
      for (let i = 0; i < points.length; i++) {
        const id = points.series[i]!
        if (wanted === undefined && !others.has(id)) {
          const series = describe(id)
          if (series.name === name && series.context === context) wanted = id
          else others.add(id)
        }
        if (id !== wanted) continue
        step.push(points.step[i]!)
        time.push(points.time[i]!)
        value.push(points.value[i]!)
      }
    })
    return { step: step.done(), time: time.done(), value: value.done() }
  }

  /** Hyperparameters; of one logged twice, the later value. */
  params(): Record<string, ParamValue> {
    const params = new Map<string, ParamValue>()
    this.#records((record) => {
      if (record.kind === 'params')
        for (const [name, value] of Object.entries(record.params)) params.set(name, value)
    })
    return Object.fromEntries(params)
  }

  tags(): Record<string, string> {
    const tags = new Map<string, string>()
    this.#records((record) => {
      if (record.kind === 'tags')
        for (const [name, value] of Object.entries(record.tags)) tags.set(name, value)
    })
    return Object.fromEntries(tags)
  }

  /** The last state written, with its wall time in ms. A run whose process died stays 'running'. */
  state(): { readonly state: 'running' | RunOutcome; readonly time: number } {
    let last: { state: 'running' | RunOutcome; time: number } = {
      state: 'running',
      time: this.info.createdAt,
    }
    this.#records((record) => {
      if (record.kind === 'state') last = { state: record.state, time: record.time }
    })
    return last
  }

  #records(visit: (record: RunRecord | UnknownRecord) => void): void {
    this.#read((entry) => {
      if (entry.kind === 'record') visit(entry.record)
    })
  }

  #read(visit: (entry: JournalEntry, describe: (id: SeriesId) => Series) => void): void {
    const reader = openJournal(this.info.folder, { live: false })
    const describe = (id: SeriesId) => reader.series(id)
    try {
      for (let entry = reader.next(); entry; entry = reader.next()) visit(entry, describe)
    } finally {
      reader.close()
    }
  }
}

/** A column that grows. */
class Column {
  #values = new Float64Array(1024)
  #length = 0

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  done(): Float64Array {
    return this.#values.slice(0, this.#length)
  }
}
