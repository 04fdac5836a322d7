/**
 * The words of tracelet and the contracts between its stages, in one sitting.
 * Nothing here does anything: no I/O, no threads, no imports but types.
 */
import type { SinkState } from './cursor.ts'
import type { BlobRef, RecordKind, RunRecord, StoredFile, UnknownRecord } from './records.ts'

export type * from './cursor.ts'
export type * from './records.ts'

/** Identifies a run everywhere: folder, backends, commands. Chosen by us or by the user. */
export type RunId = string
/** A destination as the user named it: `mlflow`, `mlflow:team`. Part before the colon is the kind. */
export type DestinationName = string
/** The journal's number of a series within its run, from 0, dense, never reused. */
export type SeriesId = number
/** Milliseconds since 1970 on the wall clock. Only points and records carry it; windows use the monotonic clock. */
export type WallMs = number

/** A named curve. `context` is free text that tells apart series of one name (a subset, a rank); '' for none. */
export interface Series {
  readonly id: SeriesId
  readonly name: string
  readonly context: string
}

/** Points of one run as columns, index by index. Steps are integers in ±(2^53 − 1). */
export interface PointColumns {
  readonly length: number
  readonly series: Uint32Array
  readonly step: Float64Array
  readonly time: Float64Array
  readonly value: Float64Array
}

// ── the journal as its readers see it ────────────────────────────────────────────────────────────────

/** What a reader of a journal meets, in order of sequence numbers. */
export type JournalEntry =
  | {
      readonly kind: 'points'
      /** Sequence number of the first point; point i has `seq + i`. */
      readonly seq: number
      readonly points: PointColumns
      /** Row of each point. Rows are numbered within the run; points of one row share their step. */
      readonly row: Uint32Array
      /** Rows that are complete after this entry, oldest first. */
      readonly closed: Uint32Array
      /** Whether points may name rows that an earlier frame began. */
      readonly session: number
    }
  | {
      readonly kind: 'record'
      readonly seq: number
      readonly record: RunRecord | UnknownRecord
    }
  /** A writer took over (start, resume, restarted drain): every row of earlier sessions is complete. */
  | { readonly kind: 'session'; readonly seq: number; readonly session: number }
  /** Damage: `points + records` sequence numbers from `seq` on are gone. */
  | {
      readonly kind: 'corrupt'
      readonly seq: number
      readonly points: number
      readonly records: number
    }
  /** Removed by retention: as many sequence numbers from `seq` on. */
  | {
      readonly kind: 'gone'
      readonly seq: number
      readonly points: number
      readonly records: number
    }

/** Reads one run's journal forward. Series are known before the first point that uses them. */
export interface JournalReader {
  /** Sequence number of the next entry. */
  readonly seq: number
  /** The next entry, or undefined when the journal (as written so far) has been read to its end. */
  next(): JournalEntry | undefined
  series(id: SeriesId): Series
  close(): void
}

// ── the contract of a sink ───────────────────────────────────────────────────────────────────────────

/** What every destination may know of a run. Stands in `run.json`; holds no secret. */
export interface RunInfo {
  readonly id: RunId
  /** Shown by backends; defaults to the id. */
  readonly name: string
  readonly project: string
  /** The user's `expName`; backends without experiments show it as a tag or ignore it. */
  readonly experiment: string
  readonly group?: string
  /** Run id of the parent: nested runs. */
  readonly parent?: RunId
  /** Who started it, as the operating system says, and the program's path as it was started. */
  readonly user?: string
  readonly program?: string
  readonly createdAt: WallMs
  /** Random, made before the first remote create and sent with it: a create whose answer was lost is found by it. */
  readonly nonce: string
  /** The run's own folder; file sinks write below it. */
  readonly folder: string
}

/** Points for one `write`. Valid until the returned promise settles. */
export interface Batch extends PointColumns {
  /** Sequence number of the first point: the same point has the same number after a crash. */
  readonly seq: number
  /** Row sinks only: row i is the points `rows[i] … rows[i + 1] − 1`, all of one step; one more entry than rows. */
  readonly rows?: Uint32Array
  describe(id: SeriesId): Series
}

/**
 * Something of the batch that the backend will never take. Index of a point, or of a row where `rows` is set; of
 * the parameter or tag within a record. A record of which any part is rejected counts as rejected, in one letter.
 */
export interface Rejection {
  readonly index: number
  readonly code: string
  readonly reason: string
}

/**
 * A sink's answer. A throw is a bug, not an answer: it is treated as `split` and reported as such.
 * `state` replaces the cursor's state when this answer is committed.
 */
export type WriteResult =
  /**
   * Stored, or held by `state`, which the cursor keeps until a later write brings it. `superseded`: how many of the
   * items the backend merged into others. `restMs`: so long its account asks for no request, though it took this one.
   */
  | {
      readonly status: 'accepted'
      readonly superseded?: number
      readonly state?: SinkState
      readonly restMs?: number
    }
  /** Stored but for some, by index. */
  | {
      readonly status: 'partial'
      readonly rejected: readonly Rejection[]
      readonly superseded?: number
      readonly state?: SinkState
      readonly restMs?: number
    }
  /**
   * Maybe stored; the same batch comes again, after `afterMs` if given (it pauses the whole account), else after
   * a back-off. `unsent`: certainly not stored, so `stored` need not be asked. `state` counts for uploads only: the
   * step comes again with it. `code`: what the user is told it is, default ERR_UNREACHABLE.
   */
  | {
      readonly status: 'retry'
      readonly code?: string
      readonly reason: string
      readonly afterMs?: number
      readonly unsent?: true
      readonly state?: SinkState
    }
  /**
   * Some item is bad and the backend does not say which: the pipeline halves; one item alone is rejected.
   * `tooLarge`: it is the size of the whole, so later batches are made smaller too.
   */
  | { readonly status: 'split'; readonly code: string; readonly reason: string; readonly tooLarge?: true }
  /** Nothing will be taken until somebody acts: revoked key, deleted run, quota. The cursor stands. */
  | {
      readonly status: 'blocked'
      readonly scope: 'run' | 'account'
      readonly code: string
      readonly reason: string
    }

export type OpenResult =
  | {
      readonly status: 'ready'
      readonly state?: SinkState
      readonly url?: string
      readonly restMs?: number
    }
  | Extract<WriteResult, { status: 'retry' | 'blocked' }>

export interface SinkLimits {
  /** Most points (rows where `shape` is 'rows') in one write. */
  readonly maxItems: number
  /** Most bytes of one write, by the bound that `pointBytes` gives. */
  readonly maxBytes: number
  /** Upper bound of one point's encoded size, from the UTF-8 length of its series' name and context. */
  readonly pointBytes: (nameBytes: number) => number
  /** Row sinks: what each row takes beside its points. Default 0. */
  readonly rowBytes?: number
  /** Writes of one run that may be under way at once. More than 1 only if their order does not matter. */
  readonly inFlight: number
  /** Writes that may be under way at once for all runs of one account together. Default: 4 × `inFlight`. */
  readonly accountInFlight?: number
  /** Openings, writes and beats that may begin in a second for all runs of one account together. Default: no limit. */
  readonly accountPerSecond?: number
  /** How long a batch may wait to be filled while the journal has no more. */
  readonly lingerMs: number
  /**
   * How old a call may be that is missing there, while nothing holds the destination up: what a kill may take from a
   * file that is to be read as it stands. For runs that have it, the journal is appended to the sooner, which costs
   * some CPU; `lingerMs` has to leave the time. Complete rows only. Default: nothing is promised.
   */
  readonly freshMs?: number
  /** After so long without a call, while the run is open and nothing is to be sent, `beat` is called. Default: never. */
  readonly beatMs?: number
  /** Files of one record that may be uploaded at once; the state that one leaves replaces another's. Default 1. */
  readonly uploadsInFlight?: number
}

/** What a backend can do; tests and the README's table decide by this, never by name. */
export interface SinkCapabilities {
  /** 'points': fragments are sent at once. 'rows': each row once, when complete. */
  readonly shape: 'points' | 'rows'
  /** Why sending again is harmless: the backend's own identity, a position it keeps, or our file's length. */
  readonly rewrite: 'identity' | 'offset' | 'append'
  /**
   * What becomes of what a run superseded by going back to a step. 'overwrite': a later point replaces that of the
   * same series and step. 'purge': on the record 'rewind' the sink removes what stands at that step or beyond.
   * 'branch': on that record it goes on in a copy of the remote run that ends before the step. 'keep-first': nothing
   * there changes, and the pipeline leaves out the points of steps that the series had reached before. 'none', the
   * default: both stay. All but 'overwrite' and 'none' take 'rewind' in `records` and leave a mark that can be seen.
   */
  readonly rewind?: 'overwrite' | 'purge' | 'branch' | 'keep-first' | 'none'
  /** Kinds that `writeRecord` takes, in the order of the journal. */
  readonly records: readonly RecordKind[]
  /**
   * Kinds that `upload` takes, on a cursor of their own: what they hold may be large, so they hold back neither
   * points nor the end of the run. No kind is in both lists.
   */
  readonly uploads?: readonly RecordKind[]
  /**
   * Kinds of `uploads` that rows have to name, too: each such record also comes to `writeRecord`, in its order, whether
   * its files are there yet or not. Its upload settles it; what `writeRecord` refuses is a letter and nothing more.
   */
  readonly mentions?: readonly RecordKind[]
  /** What arrives for values that a double holds and the backend may not. */
  readonly values: {
    readonly nan: 'kept' | 'mapped' | 'rejected'
    readonly infinity: 'kept' | 'mapped' | 'rejected'
    readonly negativeZero: 'kept' | 'mapped'
    readonly precision: 'double' | 'float32'
  }
  readonly maxNameLength: number
}

/**
 * One step of an upload: a file of the record, or, without `file`, what is left to do when all its files are there
 * (a tag, a registered version). Files come in order, up to `uploadsInFlight` at once; after a crash the last ones
 * come again.
 */
export interface Upload {
  /** Sequence number of the record: the same after a crash. */
  readonly seq: number
  readonly record: RunRecord
  readonly file?: UploadFile
  /** All files of the record, also those that are references and never come as `file`. */
  readonly files: readonly StoredFile[]
  /** What the last answer for this record, or `keep`, left; undefined before the first. At most 64 KiB. */
  readonly state: SinkState
  /** Replaces `state` in the midst of a step, so that it goes on from there after a crash: parts that have arrived. */
  readonly keep: (state: SinkState) => void
  /** Says that so many more bytes have gone out. A call that sends nothing for long is taken for dead. */
  readonly sent: (bytes: number) => void
}
export interface UploadFile {
  /** Place among `files`. */
  readonly index: number
  /** As in `files`; for images, tables … the place in the record, as text: '0', '1', … */
  readonly path: string
  readonly blob: BlobRef
  /** Where its bytes lie on this machine. */
  readonly location: string
}

/** One run at one destination. Only translates: no retry, timer, buffer or log of its own. */
export interface Sink {
  /** Finds the remote run by our nonce or makes it; called again after a restart, with the state last committed. */
  open(state: SinkState, signal: AbortSignal): Promise<OpenResult>
  /** At most `limits.inFlight` at once; never before `open` was ready, never after `close`. */
  write(batch: Batch, signal: AbortSignal): Promise<WriteResult>
  /**
   * The batch that most likely comes next, while the one before it is under way: time to encode it. Nothing is sent;
   * `write` may still get another one, or a half of it. Valid until a write of it settles.
   */
  prepare?(batch: Batch): void
  /**
   * A sign of life, and the time for what the state holds: called after `limits.beatMs` without another call, and
   * never beside one.
   */
  beat?(signal: AbortSignal): Promise<WriteResult>
  /** A record of a kind the sink declared. Alone in flight when `limits.inFlight` is 1. */
  writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult>
  /**
   * A step of sending a record of a kind declared in `uploads`. A sink that declares any is opened twice for a run,
   * one for rows and one for uploads: the second with the state that the first has committed.
   */
  upload?(upload: Upload, signal: AbortSignal): Promise<WriteResult>
  /**
   * After an unclear failure: is this batch there already? false when it cannot tell. Absent where sending again
   * costs nothing.
   */
  stored?(batch: Batch, signal: AbortSignal): Promise<boolean>
  /** Frees what open() took; everything worth telling the backend came as a record. Twice is harmless. */
  close(): Promise<void>
}

export interface SinkContext<Options> {
  readonly run: RunInfo
  readonly options: Options
  /** Reported to the user once, without stopping anything: a mapped name, a clamped value. */
  readonly notice: (code: string, message: string) => void
  /** Somebody asked there that the run be stopped; the user is told once. */
  readonly stopRequested?: () => void
}

// ── what the user reads ──────────────────────────────────────────────────────────────────────────────

/** Sums of one destination: `before + journaled = delivered + filtered + rejected + corrupt + pending`. */
export interface DestinationStats {
  readonly delivered: number
  /** Part of `delivered` that the backend's identity rule merged into other points. */
  readonly superseded: number
  readonly filtered: number
  /** Each stands with its reason in the run's dead-letter file. */
  readonly rejected: number
  readonly corrupt: number
  readonly pending: number
  readonly records: {
    readonly delivered: number
    readonly filtered: number
    readonly rejected: number
    readonly corrupt: number
    readonly pending: number
  }
  /** Files and bytes of the records that are uploaded; `known` grows as the journal is read. */
  readonly uploads: {
    readonly files: { readonly sent: number; readonly known: number }
    readonly bytes: { readonly sent: number; readonly known: number }
  }
  readonly state: DestinationState
  /**
   * How long the oldest point or record that is not settled has been waiting, in ms: since it was journaled, or since
   * this process opened the run. Uploads do not count. 0 when nothing waits, and for a run at rest.
   */
  readonly lagMs: number
  /** Where to look at the run; '' until the backend told. */
  readonly url: string
  /** Why it is retrying or blocked; '' when it is not. */
  readonly reason: string
}
/** 'offline': nothing is sent there by this process, also once the run is finished. */
export type DestinationState = 'opening' | 'live' | 'retrying' | 'blocked' | 'closed' | 'offline'

/** Sums of a run in this process: `accepted = journaled + coalesced + lost.laneFull + lost.disk + inRing`. */
export interface Stats {
  /** Points that `log()` took. */
  readonly accepted: number
  /** Points still between `log()` and the journal; 0 after `flush()`. */
  readonly inRing: number
  readonly journaled: number
  /** What the journal held of the run before this process; destinations count from the first record on. */
  readonly before: { readonly points: number; readonly records: number }
  /** Points replaced by a later one of the same series, step and time before they were journaled. */
  readonly coalesced: number
  readonly lost: { readonly laneFull: number; readonly disk: number }
  /** Points that `log()` refused with an error code: never accepted. */
  readonly refused: number
  /** Points that came after `finish()`; part of `accepted`. */
  readonly late: number
  /** `parked`: what is being copied into the run's folder, such as a file or an image. */
  readonly records: {
    readonly accepted: number
    readonly parked: number
    readonly journaled: number
    readonly lost: number
  }
  /** Calls that waited for room in the ring, and for how long in all. */
  readonly stalls: { readonly count: number; readonly totalMs: number }
  /** Age of the oldest byte not yet safe from power loss; 0 when all is. */
  readonly unsyncedMs: number
  readonly destinations: Readonly<Record<DestinationName, DestinationStats>>
}
