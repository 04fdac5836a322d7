/**
 * Everything a run says besides points, one type each. The journal keeps records as they stand here
 * (pipeline/journal/records.ts); sinks translate them.
 */
import type { WallMs } from './types.ts'

export type ParamValue = string | number | boolean | null
export type RunOutcome = 'finished' | 'failed' | 'killed'

/** Bytes that a run keeps once, by their SHA-256: `blobs/<2 digits>/<digest>` in its folder (store/blobs.ts). */
export interface BlobRef {
  /** SHA-256 of the bytes, 64 lower-case hexadecimal digits. */
  readonly digest: string
  readonly bytes: number
  /** Media type, such as `image/png`. */
  readonly type: string
}

/** Where something beside points stands: a name as a series has one, a step, a time. */
export interface Placed {
  readonly name: string
  readonly step: number
  readonly time: WallMs
}

export interface LoggedImage {
  readonly image: BlobRef
  /** Pixels; 0 where an encoded image did not say. */
  readonly width: number
  readonly height: number
  readonly caption?: string
}

/** A file of an artifact: bytes that the run keeps, or a reference to bytes that stay where they are. */
export type StoredFile =
  | { readonly path: string; readonly blob: BlobRef }
  | { readonly path: string; readonly uri: string; readonly bytes?: number; readonly digest?: string }
/**
 * Files with their paths below the artifact: relative, `/` between parts, no part empty, `.` or `..`, sorted.
 * Many of them stand in a blob of one JSON array instead (type FILE_LIST_TYPE).
 */
export type FileList = readonly StoredFile[] | BlobRef

export type AlertLevel = 'info' | 'warn' | 'error'
export type MetricSummary = 'min' | 'max' | 'mean' | 'last' | 'best'

/** Everything a run says besides points. One record is one unit of the conservation law for records. */
export type RunRecord =
  | {
      readonly kind: 'params'
      readonly params: Readonly<Record<string, ParamValue>>
    }
  | { readonly kind: 'tags'; readonly tags: Readonly<Record<string, string>> }
  | {
      readonly kind: 'state'
      readonly state: 'running' | RunOutcome
      readonly time: WallMs
    }
  /**
   * The run goes back: what it logged before this record at `fromStep` or beyond is superseded, in every series and
   * for everything else that has a step.
   */
  | { readonly kind: 'rewind'; readonly fromStep: number; readonly time: WallMs }
  /** The run's description, Markdown; a later one replaces it. */
  | { readonly kind: 'notes'; readonly notes: string }
  /** How a series is to be read. A name may end in `*`: all series that begin so. */
  | {
      readonly kind: 'metric'
      readonly name: string
      /** Name of the series that is its x-axis instead of the step. */
      readonly axis?: string
      readonly summary?: readonly MetricSummary[]
      readonly goal?: 'minimize' | 'maximize'
    }
  /** A dataset that the run read. */
  | {
      readonly kind: 'dataset'
      readonly name: string
      /** The user's own fingerprint of the data, at most 36 characters. */
      readonly digest: string
      readonly source: string
      /** Such as `local`, `http`, `s3`, `hugging_face`. */
      readonly sourceType: string
      /** JSON text. */
      readonly schema?: string
      readonly profile?: string
      /** What it was read for: `training`, `validation` … */
      readonly context?: string
    }
  /** What the program printed: whole lines, without the last line break. */
  | {
      readonly kind: 'console'
      readonly stream: 'stdout' | 'stderr'
      readonly text: string
      readonly time: WallMs
    }
  /** A long text is a blob of UTF-8. */
  | (Placed & { readonly kind: 'text'; readonly text: string | BlobRef })
  /** n + 1 ascending edges around n counts. The sums are those of the values where they were known. */
  | (Placed & {
      readonly kind: 'histogram'
      readonly edges: Float64Array
      readonly counts: Float64Array
      readonly sum?: number
      readonly sumSquares?: number
    })
  | (Placed & { readonly kind: 'images'; readonly images: readonly LoggedImage[] })
  /** The blob is JSON `{ "columns": […], "data": [[…], …] }`, a row each in `data` (pandas calls it `split`). */
  | (Placed & {
      readonly kind: 'table'
      readonly table: BlobRef
      readonly columns: number
      readonly rows: number
    })
  /** The blob is Plotly's JSON `{ data, layout }` (PLOTLY_TYPE) or an image. */
  | (Placed & {
      readonly kind: 'figure'
      readonly figure: BlobRef
      readonly width?: number
      readonly height?: number
    })
  /** Counts at n thresholds, evenly from 0 to 1. */
  | (Placed & {
      readonly kind: 'prCurve'
      readonly truePositives: Float64Array
      readonly falsePositives: Float64Array
      readonly trueNegatives: Float64Array
      readonly falseNegatives: Float64Array
    })
  | {
      readonly kind: 'artifact'
      readonly name: string
      /** The user's word: `dataset`, `checkpoint` …; default `artifact`. */
      readonly type: string
      readonly time: WallMs
      readonly files: FileList
      readonly bytes: number
      /** That this version takes over, where a backend has versions. */
      readonly aliases?: readonly string[]
      readonly description?: string
      /** JSON text of an object. */
      readonly metadata?: string
    }
  | {
      readonly kind: 'model'
      readonly name: string
      readonly time: WallMs
      readonly step?: number
      readonly files: FileList
      readonly bytes: number
      /** Registered model that this becomes a version of. */
      readonly register?: string
      /** Aliases that the new version takes over, such as `champion`. */
      readonly aliases?: readonly string[]
      readonly description?: string
      readonly metadata?: string
    }
  /** Files of the run itself, without versions: a later one of the same path replaces it. */
  | { readonly kind: 'files'; readonly time: WallMs; readonly files: FileList; readonly bytes: number }
  /** An artifact that the run read, as the backend knows it: `name`, `name:alias`, `entity/project/name:alias`. */
  | { readonly kind: 'input'; readonly artifact: string; readonly type?: string; readonly time: WallMs }
  /** Something that people are to be told of. */
  | {
      readonly kind: 'alert'
      readonly title: string
      /** Markdown. */
      readonly text: string
      readonly level: AlertLevel
      readonly time: WallMs
      /** Further ones of the same title are not told for so long. */
      readonly waitMs?: number
    }
export type RecordKind = RunRecord['kind']
/** A record of a kind that only later versions know: no sink takes it, it is counted as filtered. */
export interface UnknownRecord {
  readonly kind: 'unknown'
}

/** Whether it stands at a step, in a place that bears its name; a model keeps its step for the record only. */
export function isPlaced(record: RunRecord | UnknownRecord): record is Extract<RunRecord, Placed> {
  return 'step' in record && record.kind !== 'model'
}
