/** Reading a run back from its folder: the local truth, whatever the backends have. */
import { resolve } from 'node:path'
import { isPlaced } from '../core/records.ts'
import type { ParamValue, RunInfo, RunOutcome, RunRecord, Series, UnknownRecord } from '../core/types.ts'
import { openRecords } from '../pipeline/journal/reader.ts'
import { Superseded } from '../pipeline/journal/rewinds.ts'
import { findRunFolder, isRunFolder } from '../pipeline/store/folder.ts'
import { type RunDestination, readRunFile, runInfo } from '../pipeline/store/run-file.ts'
import { RUN_OPTIONS } from './options.ts'
import { type Download, downloadFiles } from './stored-files.ts'
import {
  type History,
  readHistory,
  readSeries,
  readSummaries,
  type SeriesLength,
  type SeriesSummary,
} from './stored-points.ts'
import * as stored from './stored-records.ts'

export interface OpenRunOptions {
  /** Root folder; default `TRACELET_DIR`, else `./.tracelet`. */
  readonly dir?: string | undefined
  /** Needed only where several projects hold a run of that id. */
  readonly project?: string | undefined
  /** Also what was superseded when the run went back to an earlier step; default false. */
  readonly superseded?: boolean | undefined
}

/**
 * Opens a run for reading, also one that is being written: each call sees what is journaled by then.
 * @param run the run's id, or the path of its folder
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT
 */
export function openRun(run: string, options: OpenRunOptions = {}): StoredRun {
  const root = resolve(options.dir ?? process.env.TRACELET_DIR ?? RUN_OPTIONS.dir.default)
  const folder = isRunFolder(run) ? resolve(run) : findRunFolder(root, run, options.project)
  return new StoredRun(folder, options.superseded ?? false)
}

/**
 * A run as it stands in its folder. Each call goes through the journal once and holds in memory what it answers;
 * content (texts, images, files) is read when it is asked for. Where a method takes a name, it answers for that
 * name alone; without it for all, in the order of logging.
 */
export class StoredRun {
  readonly info: RunInfo
  readonly destinations: readonly RunDestination[]
  readonly #hasSuperseded: boolean

  /** @internal made by `openRun` */
  constructor(folder: string, hasSuperseded: boolean) {
    this.#hasSuperseded = hasSuperseded
    const file = readRunFile(folder)
    this.info = runInfo(folder, file)
    this.destinations = file.destinations
  }

  /** All series with the number of their points, in the order they first came. */
  series(): (Series & SeriesLength)[] {
    return readSeries(this.info.folder, this.#superseded())
  }

  /** Every point of one series; empty arrays for one that was never logged. */
  history(name: string, context = ''): History {
    return readHistory(this.info.folder, name, context, this.#superseded())
  }

  /** A line for each series: of that name in all its contexts, or of all. */
  summary(name?: string): SeriesSummary[] {
    const definitions = new Map<string, stored.MetricDefinition>()
    return readSummaries(
      this.info.folder,
      name,
      ({ record }) => {
        if (record.kind === 'metric') definitions.set(record.name, stored.withoutKind(record))
      },
      (series) => definitionOf(definitions, series),
      this.#superseded(),
    )
  }

  /** What `defineMetric` said; of a name defined twice, the later definition. */
  metricDefinitions(): stored.MetricDefinition[] {
    const definitions = new Map<string, stored.MetricDefinition>()
    for (const record of this.#all('metric')) definitions.set(record.name, stored.withoutKind(record))
    return [...definitions.values()]
  }

  /** Hyperparameters; of one logged twice, the later value. */
  params(): Record<string, ParamValue> {
    const params = new Map<string, ParamValue>()
    for (const record of this.#all('params'))
      for (const [name, value] of Object.entries(record.params)) params.set(name, value)
    return Object.fromEntries(params)
  }

  tags(): Record<string, string> {
    const tags = new Map<string, string>()
    for (const record of this.#all('tags'))
      for (const [name, value] of Object.entries(record.tags)) tags.set(name, value)
    return Object.fromEntries(tags)
  }

  /** The last state written, with its wall time in ms. A run whose process died stays 'running'. */
  state(): { readonly state: 'running' | RunOutcome; readonly time: number } {
    let last: { state: 'running' | RunOutcome; time: number } = {
      state: 'running',
      time: this.info.createdAt,
    }
    for (const { state, time } of this.#all('state')) last = { state, time }
    return last
  }

  /** The run's description, Markdown; undefined when it has none. */
  notes(): string | undefined {
    let last: string | undefined
    for (const { notes } of this.#all('notes')) last = notes
    return last
  }

  datasets(): stored.StoredDataset[] {
    return Array.from(this.#all('dataset'), stored.withoutKind)
  }

  /** What `useArtifact` named. */
  inputs(): stored.StoredInput[] {
    return Array.from(this.#all('input'), stored.withoutKind)
  }

  alerts(): stored.StoredAlert[] {
    return Array.from(this.#all('alert'), stored.withoutKind)
  }

  /** What `logConsole` was given, in the order of logging. */
  console(): stored.StoredConsole[] {
    return Array.from(this.#all('console'), stored.withoutKind)
  }

  texts(name?: string): stored.StoredText[] {
    return Array.from(this.#all('text', name), (record) => stored.toText(this.info.folder, record))
  }

  histograms(name?: string): stored.StoredHistogram[] {
    return Array.from(this.#all('histogram', name), stored.withoutKind)
  }

  /** Each image, also of those logged together. */
  images(name?: string): stored.StoredImage[] {
    return Array.from(this.#all('images', name), (record) => stored.toImages(this.info.folder, record)).flat()
  }

  tables(name?: string): stored.StoredTable[] {
    return Array.from(this.#all('table', name), (record) => stored.toTable(this.info.folder, record))
  }

  figures(name?: string): stored.StoredFigure[] {
    return Array.from(this.#all('figure', name), (record) => stored.toFigure(this.info.folder, record))
  }

  prCurves(name?: string): stored.StoredPrCurve[] {
    return Array.from(this.#all('prCurve', name), stored.withoutKind)
  }

  artifacts(name?: string): stored.StoredArtifact[] {
    return Array.from(this.#all('artifact', name), (record) => stored.toArtifact(this.info.folder, record))
  }

  models(name?: string): stored.StoredModel[] {
    return Array.from(this.#all('model', name), (record) => stored.toModel(this.info.folder, record))
  }

  /**
   * The run's own files, of which each path stands once: as it was logged last. In the order of paths.
   * @throws TraceletError ERR_BLOB for a list that is damaged, or names a place outside the run
   */
  files(): stored.StoredRunFile[] {
    return stored.toRunFiles(this.info.folder, this.#all('files'))
  }

  /**
   * Writes the run's own files below `toFolder`, as `download` of an artifact does.
   * @throws TraceletError ERR_BLOB, ERR_ARTIFACT
   */
  async downloadFiles(toFolder: string): Promise<Download> {
    return downloadFiles(this.files(), toFolder)
  }

  /**
   * Everything but points, one at a time: for runs with more records than memory should hold. Also what was superseded,
   * each time followed by the record of kind 'rewind' that says so.
   */
  *records(): Generator<RunRecord | UnknownRecord> {
    for (const { record } of this.#records()) yield record
  }

  /** What does not count any more. */
  #superseded(): Superseded {
    return this.#hasSuperseded ? new Superseded([]) : Superseded.of(this.info.folder)
  }

  *#records(): Generator<{ readonly seq: number; readonly record: RunRecord | UnknownRecord }> {
    const reader = openRecords(this.info.folder, { live: false })
    try {
      for (let entry = reader.next(); entry; entry = reader.next()) {
        if (entry.kind === 'record') yield entry
      }
    } finally {
      reader.close()
    }
  }

  *#all<Kind extends RunRecord['kind']>(
    kind: Kind,
    name?: string,
  ): Generator<Extract<RunRecord, { kind: Kind }>> {
    let superseded: Superseded | undefined
    for (const { seq, record } of this.#records()) {
      if (record.kind !== kind) continue
      if (isPlaced(record)) {
        superseded ??= this.#superseded()
        if (record.step >= superseded.fromStep(seq)) continue
      }
      if (name === undefined || ('name' in record && record.name === name))
        yield record as Extract<RunRecord, { kind: Kind }>
    }
  }
}

/** The definition of that very name, else that of the longest beginning. */
function definitionOf(
  definitions: ReadonlyMap<string, stored.MetricDefinition>,
  series: string,
): stored.MetricDefinition | undefined {
  const exact = definitions.get(series)
  if (exact) return exact
  let best: stored.MetricDefinition | undefined
  for (const definition of definitions.values()) {
    const { name } = definition
    const isLonger = name.length > (best?.name.length ?? 0)
    if (name.endsWith('*') && series.startsWith(name.slice(0, -1)) && isLonger) best = definition
  }
  return best
}
