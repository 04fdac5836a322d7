/** What a run says besides points, as a reader meets it: content behind a name, a step and a time. */
import { TraceletError } from '../core/errors.ts'
import { PLOTLY_TYPE } from '../core/media-types.ts'
import type { FileList, Placed, RunRecord } from '../core/types.ts'
import { StoredBlob } from './stored-blob.ts'
import { type ArtifactFile, type Download, downloadFiles, readFileList } from './stored-files.ts'

type RecordOf<Kind extends RunRecord['kind']> = Extract<RunRecord, { kind: Kind }>

/** How series are to be read; `name` may end in `*`. */
export type MetricDefinition = Omit<RecordOf<'metric'>, 'kind'>
/** `schema` and `profile` are JSON text. */
export type StoredDataset = Omit<RecordOf<'dataset'>, 'kind'>

/** An artifact that the run read, as the backend knows it. */
export type StoredInput = Omit<RecordOf<'input'>, 'kind'>

/** Something that people were to be told of. */
export type StoredAlert = Omit<RecordOf<'alert'>, 'kind'>

/** Whole lines, without the last line break. */
export type StoredConsole = Omit<RecordOf<'console'>, 'kind'>

export interface StoredText extends Placed {
  /** In UTF-8. */
  readonly bytes: number
  /** @throws TraceletError ERR_BLOB */
  text(): string
}

/** n + 1 ascending edges around n counts. */
export type StoredHistogram = Omit<RecordOf<'histogram'>, 'kind'>

export interface StoredImage extends Placed {
  /** Place among the images that were logged together. */
  readonly index: number
  /** Pixels; 0 where an encoded image did not say. */
  readonly width: number
  readonly height: number
  readonly caption?: string
  readonly content: StoredBlob
}

export interface TableContent {
  readonly columns: readonly string[]
  /** A row each, cells in the order of `columns`; NaN and infinities are texts. */
  readonly data: readonly (readonly unknown[])[]
}
export interface StoredTable extends Placed {
  /** How many. */
  readonly columns: number
  readonly rows: number
  readonly content: StoredBlob
  /** @throws TraceletError ERR_BLOB */
  read(): TableContent
}

export interface StoredFigure extends Placed {
  /** Pixels, of an image that says them. */
  readonly width?: number
  readonly height?: number
  readonly content: StoredBlob
  /** Plotly's `{ data, layout }`; undefined for an image. @throws TraceletError ERR_BLOB */
  plotly(): { readonly data: unknown; readonly layout: unknown } | undefined
}

/** Counts at n thresholds, evenly from 0 to 1. */
export type StoredPrCurve = Omit<RecordOf<'prCurve'>, 'kind'>

interface Files {
  /** All of them together, references that do not say their size apart. */
  readonly bytes: number
  readonly description?: string
  readonly metadata?: Readonly<Record<string, unknown>>
  /** @throws TraceletError ERR_BLOB also for a list that names a place outside the artifact */
  files(): ArtifactFile[]
  /**
   * Writes the files below `toFolder`, in bounded memory; never outside of it, and no file before it is whole.
   * Files of the same names are replaced, references are left out and named in the answer.
   * @throws TraceletError ERR_BLOB, ERR_ARTIFACT
   */
  download(toFolder: string): Promise<Download>
}
export interface StoredArtifact extends Files {
  readonly name: string
  readonly type: string
  /** Wall time in ms since 1970. */
  readonly time: number
  readonly aliases?: readonly string[]
}
/** A file of the run itself. */
export interface StoredRunFile extends ArtifactFile {
  /** Wall time in ms since 1970 at which it was logged. */
  readonly time: number
}
export interface StoredModel extends Files {
  readonly name: string
  readonly time: number
  readonly step?: number
  /** Registered model that it became a version of. */
  readonly register?: string
  readonly aliases?: readonly string[]
}

export function toText(folder: string, { name, step, time, text }: RecordOf<'text'>): StoredText {
  const place = { name, step, time }
  if (typeof text === 'string') return { ...place, bytes: Buffer.byteLength(text), text: () => text }
  const content = new StoredBlob(folder, text)
  return { ...place, bytes: content.bytes, text: () => content.text() }
}

export function toImages(folder: string, record: RecordOf<'images'>): StoredImage[] {
  const { name, step, time } = record
  return record.images.map(({ image, ...rest }, index) => ({
    ...rest,
    name,
    step,
    time,
    index,
    content: new StoredBlob(folder, image),
  }))
}

export function toTable(folder: string, { kind: _, table, ...rest }: RecordOf<'table'>): StoredTable {
  const content = new StoredBlob(folder, table)
  return { ...rest, content, read: () => parse(content) as TableContent }
}

export function toFigure(folder: string, { kind: _, figure, ...rest }: RecordOf<'figure'>): StoredFigure {
  const content = new StoredBlob(folder, figure)
  const plotly = () =>
    content.type === PLOTLY_TYPE ? (parse(content) as { data: unknown; layout: unknown }) : undefined
  return { ...rest, content, plotly }
}

export function toArtifact(folder: string, record: RecordOf<'artifact'>): StoredArtifact {
  const { kind: _, files, metadata, ...rest } = record
  return { ...rest, ...metadataOf(metadata), ...filesOf(folder, files) }
}

export function toModel(folder: string, record: RecordOf<'model'>): StoredModel {
  const { kind: _, files, metadata, ...rest } = record
  return { ...rest, ...metadataOf(metadata), ...filesOf(folder, files) }
}

/** What stands in the run when all is logged: of one path the last. In the order of paths. */
export function toRunFiles(folder: string, records: Iterable<RecordOf<'files'>>): StoredRunFile[] {
  const files = new Map<string, StoredRunFile>()
  for (const { files: list, time } of records)
    for (const file of readFileList(folder, list)) files.set(file.path, { ...file, time })
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** The record without its kind. */
export function withoutKind<Kept extends RunRecord>({ kind: _, ...rest }: Kept): Omit<Kept, 'kind'> {
  return rest
}

function filesOf(folder: string, list: FileList): Pick<Files, 'files' | 'download'> {
  const files = () => readFileList(folder, list)
  return { files, download: async (toFolder) => downloadFiles(files(), toFolder) }
}

function metadataOf(text: string | undefined): Pick<Files, 'metadata'> {
  if (text === undefined) return {}
  try {
    const metadata: unknown = JSON.parse(text)
    if (typeof metadata === 'object' && metadata !== null)
      return { metadata: metadata as Record<string, unknown> }
  } catch {
    // written by somebody else: what is there is shown below
  }
  return { metadata: { text } }
}

function parse(content: StoredBlob): object {
  try {
    const value: unknown = JSON.parse(content.text())
    if (typeof value === 'object' && value !== null) return value
  } catch (cause) {
    if (cause instanceof TraceletError) throw cause
  }
  throw new TraceletError('ERR_BLOB', `content ${content.digest} is not the JSON it should be`)
}
