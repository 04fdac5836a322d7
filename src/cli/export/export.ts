/** `tracelet export`: a run as the files of another tool, whatever backends it had. */
import { resolve } from 'node:path'
import { nearest } from '../../core/options.ts'
import { say } from '../../pipeline/say.ts'
import { SINKS } from '../../sinks/index.ts'
import {
  type Command,
  DIR_OPTION,
  EXIT,
  JSON_OPTION,
  PROJECT_OPTION,
  rootFolder,
  UsageError,
} from '../command.ts'
import { DeliveryProgress } from '../delivery-progress.ts'
import { Ending } from '../ending.ts'
import { keysAndValues, typedOptions } from '../option-words.ts'
import { asTraceletError } from '../overview.ts'
import { namedRuns } from '../sync/folders.ts'
import { Told } from '../sync/told.ts'
import { jsonText, plain } from '../text.ts'
import { type ExportedRun, type ExportOptions, type ExportSink, exportRun } from './export-run.ts'
import { closingLine, formatExport, isWhole, toJson } from './report.ts'

const EXPORT_SINKS = SINKS.filter((sink): sink is ExportSink => sink.exports !== undefined)
const FORMATS = EXPORT_SINKS.map((sink) => sink.exports.format)

export const exportCommand: Command = {
  name: 'export',
  summary: `write runs as files of another tool: ${FORMATS.join(', ')}`,
  usage: `export RUN … --format ${FORMATS.join('|')} [--out DIR] [options]`,
  details: [
    'RUN is an id, the folder of a run, or any folder above runs. All of it is written that has a place in the format,',
    'whatever the run sent to its backends; the run itself is only read. A run that is still being written is',
    'exported as it was when the export began. What is there already is not written over.',
  ],
  options: {
    format: { type: 'string', doc: FORMATS.join(' or ') },
    out: { type: 'string', doc: 'folder in which a folder is made for each run (default: the current one)' },
    option: {
      type: 'string',
      multiple: true,
      doc: "KEY=VALUE of the format's backend, over what the run had there and the environment says",
    },
    project: PROJECT_OPTION,
    dir: DIR_OPTION,
    json: JSON_OPTION,
  },
  outlivesReader: true,
  exits: {
    [EXIT.ok]: 'every run is exported',
    [EXIT.failed]: 'a run is not exported, or not all of it: something was refused or is damaged',
    [EXIT.interrupted]: 'ended by Ctrl-C (143 by SIGTERM, 129 by SIGHUP)',
  },
  maxPositionals: Number.POSITIVE_INFINITY,
  async run(values, named) {
    if (named.length === 0) throw new UsageError('export: name runs (an id or a folder each)')
    const sink = sinkOf(values.format as string | undefined)
    const texts = keysAndValues((values.option as string[] | undefined) ?? [], '--option')
    if (Object.hasOwn(texts, sink.exports.folderOption))
      throw new UsageError(`export: --out says in which folder, not --option ${sink.exports.folderOption}`)
    const given = typedOptions(texts, sink.options, '--option')
    const project = values.project as string | undefined
    const { folders, unfound } = namedRuns(named, { dir: rootFolder(values), project })
    if (folders.length === 0 && unfound.length === 1) throw unfound[0]!.error
    const isJson = values.json === true
    const isOne = folders.length + unfound.length === 1
    const exporting = new Exporting(sink, isJson, isOne)
    for (const { folder, error } of unfound) exporting.fail(folder, error)
    try {
      const out = resolve((values.out as string | undefined) || '.')
      for (const folder of folders) {
        if (!exporting.isEnding) await exporting.take(folder, { out, given, environment: process.env })
      }
    } finally {
      exporting.stop()
    }
    return exporting.close(folders.length)
  },
}

/** @throws UsageError */
function sinkOf(format: string | undefined): ExportSink {
  const found = EXPORT_SINKS.find((sink) => sink.exports.format === format)
  if (found !== undefined) return found
  if (format === undefined) throw new UsageError(`export: --format says as what: ${FORMATS.join(' or ')}`)
  const near = nearest(format, FORMATS)
  throw new UsageError(
    `export: no format '${plain(format)}'; ${near ? `did you mean '${near}'?` : `there are ${FORMATS.join(', ')}`}`,
  )
}

/** One run after the other, and what is said of each. */
class Exporting {
  readonly #sink: ExportSink
  readonly #isJson: boolean
  readonly #isOne: boolean
  readonly #progress: DeliveryProgress
  readonly #told: Told
  readonly #ending = new Ending('what was begun is removed')
  readonly #exported: ExportedRun[] = []
  readonly #failed: { readonly folder: string; readonly error: { code: string; message: string } }[] = []

  constructor(sink: ExportSink, isJson: boolean, isOne: boolean) {
    this.#sink = sink
    this.#isJson = isJson
    this.#isOne = isOne
    // the standard output is the document's alone
    this.#progress = new DeliveryProgress(isJson ? process.stderr : process.stdout)
    this.#told = new Told(!isOne, () => this.#progress.clear())
  }

  get isEnding(): boolean {
    return this.#ending.signal.aborted
  }

  /** @throws where it is the only one: then there is nothing else to say */
  async take(folder: string, options: Pick<ExportOptions, 'out' | 'given' | 'environment'>): Promise<void> {
    try {
      const exported = await exportRun(folder, {
        ...options,
        sink: this.#sink,
        signal: this.#ending.signal,
        onMessage: (message) => this.#told.hear(message),
        onDamage: (issue) => this.#told.damaged(issue),
        onStart: (read) => this.#progress.start(read),
      })
      this.#progress.stop()
      this.#exported.push(exported)
      if (!this.#isJson) process.stdout.write(`${formatExport(exported, this.#sink)}\n`)
    } catch (error) {
      this.#progress.stop()
      this.fail(folder, error)
    }
  }

  fail(folder: string, error: unknown): void {
    const { code, message } = asTraceletError(folder, error)
    this.#failed.push({ folder, error: { code, message } })
    say(this.#isOne ? `${code}: ${message}` : `${folder}: ${code}: ${message}`)
  }

  stop(): void {
    this.#progress.stop()
    this.#ending.stop()
  }

  /** @param runs those that were to be exported */
  close(runs: number): number {
    const done = this.#exported
    const complete = this.#failed.length === 0 && done.length === runs && done.every(isWhole)
    if (this.#isJson) {
      const document = {
        complete,
        format: this.#sink.exports.format,
        runs: [...done.map(toJson), ...this.#failed],
      }
      process.stdout.write(`${jsonText(document)}\n`)
    } else if (!this.#isOne) process.stdout.write(closingLine(done.length, runs - done.length))
    return this.#ending.exitCode ?? (complete ? EXIT.ok : EXIT.failed)
  }
}
