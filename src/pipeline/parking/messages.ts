/**
 * What is posted between a thread that logs and its parking thread. Bytes are copied by the caller and transferred,
 * so that nothing changes under the parking thread.
 */
import type { MessagePort } from 'node:worker_threads'
import type { ErrorRecord } from '../../core/errors.ts'
import type { RunRecord } from '../../core/types.ts'

/** What a parking thread starts with. */
export interface ParkingStart {
  /** To the owner. Transferred; read by event, and synchronously when the owner looks. */
  readonly port: MessagePort
  /** Words of `ledger.ts`. */
  readonly ledger: SharedArrayBuffer
  readonly control: SharedArrayBuffer
  /** BroadcastChannel on which lanes are announced. */
  readonly channel: string
}

/** A run as the parking thread must know it. */
export interface ParkedRun {
  /** The run's number in lanes. */
  readonly number: number
  readonly folder: string
  readonly durability: 'process' | 'power'
  readonly counters: SharedArrayBuffer
}

/** Uncompressed pixels, 8 bits a channel, or reals from 0 to 1. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array
  readonly width: number
  readonly height: number
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. */
  readonly channels: number
  /** Whether each channel stands in one piece (CHW), instead of the channels of a pixel side by side (HWC). */
  readonly isPlanar: boolean
}

/** Bytes of a blob to be. */
export type Content =
  | { readonly type: string; readonly bytes: Uint8Array }
  /** Becomes a PNG. */
  | { readonly type: 'image/png'; readonly pixels: Pixels }

/** What a file was like when it was logged; it must be the same before and after it is copied. */
export interface FileMark {
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly ino: bigint
  readonly dev: bigint
}

/** A file of an artifact or of the run, and where its bytes are to be had. */
export interface FileToKeep {
  /** In the artifact or the run. */
  readonly path: string
  readonly from:
    | { readonly bytes: Uint8Array }
    /** A clone made at the call, on the file system of the run. */
    | { readonly clone: string }
    /** Where it lies (bytes where the name is not UTF-8), as it was. */
    | { readonly location: string | Uint8Array; readonly mark: FileMark }
}

export type FilesRecord = Extract<RunRecord, { kind: 'artifact' | 'model' | 'files' }>

/** A record that waits for its bytes to be kept; `record` names blobs by place-holders, in the order of contents. */
export interface MediaJob {
  readonly class: 'media'
  readonly run: number
  readonly record: RunRecord
  readonly contents: readonly Content[]
  /** Memory that it takes while it is parked. */
  readonly bytes: number
}
/** What has files that are to be copied, such as an artifact; `record.files` is empty until then. */
export interface FilesJob {
  readonly class: 'files'
  readonly run: number
  readonly record: FilesRecord
  readonly files: readonly FileToKeep[]
  readonly bytes: number
}
export type Job = MediaJob | FilesJob

/** owner → parking thread */
export type ToParking =
  /** Ahead of the run's first job; `producer` is its block in the run's counters. */
  | { readonly type: 'run'; readonly run: ParkedRun; readonly producer: number }
  /** `number` counts the owner's jobs of each class, from 1. */
  | { readonly type: 'job'; readonly job: Job; readonly number: number }
  /** The run is finished; should a job of it come, 'run' comes before it again. */
  | { readonly type: 'forget'; readonly run: number }

/** What became of an artifact. */
export type Snapshot =
  | {
      /** It is kept in the run's folder as it was at the call; the files may change now. */
      readonly status: 'taken'
      readonly files: number
      readonly bytes: number
    }
  | {
      readonly status: 'failed'
      /** One of ERROR_CODES. */
      readonly code: ErrorRecord['code']
      readonly reason: string
    }

/** parking thread → owner */
export type FromParking =
  /** Of the job of that number: those of one run are answered in their order. */
  | { readonly type: 'files'; readonly number: number; readonly snapshot: Snapshot }
  /** Numbered from 1 on: see LEDGER.told. */
  | {
      readonly type: 'issue'
      readonly number: number
      readonly run: number
      readonly issue: ErrorRecord
      /** What counts as the same trouble: there may be very many images. */
      readonly key: string
    }
