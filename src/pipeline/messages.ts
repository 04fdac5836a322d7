/** Everything that is posted between threads. Points never are: they travel by ring and journal. */
import type { MessagePort } from 'node:worker_threads'
import type { ErrorRecord } from '../core/errors.ts'
import type { DestinationName, RunId, RunInfo } from '../core/types.ts'
import type { DrainIssue } from './disk-trouble.ts'

/** One destination of a run, options resolved. Holds secrets: posted between threads, never written down. */
export interface DestinationSpec {
  readonly name: DestinationName
  /** Its block in the run's counters. */
  readonly index: number
  /** Word of a sink in `sinks/index.ts`, or of the sink that `module` exports. */
  readonly kind: string
  /** Absolute path, file URL or package name of an ES module whose default export is a `defineSink(…)`. */
  readonly module?: string
  readonly options: Readonly<Record<string, unknown>>
  /** The destination that it stands beside: it comes and goes with the mode of that one. */
  readonly companionOf?: DestinationName
}

/** What the drain thread must know of a run. */
export interface RunOrder {
  /** The run's number in lanes: unique within the process. */
  readonly number: number
  /** Random; tells this start of the run from others, in this process or another. */
  readonly incarnation: string
  readonly run: RunInfo
  readonly counters: SharedArrayBuffer
  readonly destinations: readonly DestinationSpec[]
  /** What `flush()` waits for: the append, or the sync that survives power loss. */
  readonly durability: 'process' | 'power'
  readonly rowMaxAgeMs: number
  /** Least `freshMs` of its destinations. Default: none has one. */
  readonly freshMs?: number
  /** Default: no limit. */
  readonly maxJournalBytes?: number
  /** Default 'keep'. */
  readonly retention?: 'keep' | 'delivered'
}

/** A series as its producer defined it in a lane: kept by main, should the drain thread have to be replaced. */
export interface SeriesDefinition {
  readonly lane: number
  /** The producer's own number of the series. */
  readonly local: number
  readonly run: number
  readonly name: string
  readonly context: string
}

/** What a drain thread starts with. After a restart: everything that its predecessor knew. */
export interface DrainStart {
  /** To main. Transferred; main reads it by event, and synchronously when it replaces a dead drain thread. */
  readonly port: MessagePort
  readonly control: SharedArrayBuffer
  readonly epoch: number
  /** BroadcastChannel on which producers in other threads announce lanes. */
  readonly channel: string
  /** 1 while the delivery threads look at nothing and want a 'wake'. */
  readonly idle: SharedArrayBuffer
  readonly deliveryThreads: number
  readonly lanes: readonly SharedArrayBuffer[]
  readonly runs: readonly RunOrder[]
  readonly definitions: readonly SeriesDefinition[]
}

/** main thread → drain thread */
export type ToDrain =
  | { readonly type: 'run'; readonly order: RunOrder }
  | { readonly type: 'lane'; readonly lane: SharedArrayBuffer }
  /** Nobody can log to this finished run by the lane of that id any more. */
  | { readonly type: 'let go'; readonly number: number; readonly lane: number }

/** drain thread → main thread */
export type FromDrain =
  | FromDelivery
  | { readonly type: 'definitions'; readonly definitions: readonly SeriesDefinition[] }
  /** Every destination of the run has answered 'closed'. */
  | { readonly type: 'finished'; readonly number: number }
  | { readonly type: 'drain-issue'; readonly number: number; readonly issue: DrainIssue }

/** What the delivery thread must know to deliver one run. */
export interface DeliveryOrder {
  readonly run: RunInfo
  readonly counters: SharedArrayBuffer
  readonly destinations: readonly DestinationSpec[]
  /**
   * True while a writer appends to the journal: then `RUN.seq` tells how far it can be read and a torn end is
   * not damage. False for a run at rest (`sync`).
   */
  readonly live: boolean
}

/** drain thread → delivery thread */
export type ToDelivery =
  | { readonly type: 'open'; readonly order: DeliveryOrder }
  /** The journal of some run has grown. Sent only while the shared IDLE word says that nobody looks. */
  | { readonly type: 'wake' }
  /** Answered with 'ready' by a thread that moves. */
  | { readonly type: 'ask' }
  /**
   * The run's last record is journaled: deliver without waiting to fill batches, then close; give up what is
   * under way at `deadlineAt` (monotonic ms, `monotonicNow()`).
   */
  | {
      readonly type: 'finish'
      readonly run: RunId
      readonly deadlineAt: number
    }
  | { readonly type: 'stop' }

/** A destination in trouble, or just out of it. */
export interface Outage {
  /** Whom all runs at one server share; not for show. Undefined: the trouble is this run's own. */
  readonly account?: string
  /** Since the first failure. */
  readonly forMs: number
  /** Points and records that wait for the destination. */
  readonly points: number
  readonly records: number
  /** Points and records of the run that were lost meanwhile, on the way to the journal. */
  readonly lost: number
}

/** delivery thread → drain thread → main thread */
export type FromDelivery =
  | { readonly type: 'ready' }
  /** Where to look at the run. */
  | {
      readonly type: 'url'
      readonly run: RunId
      readonly destination: DestinationName
      readonly url: string
    }
  /** Nothing is sent there by this process. */
  | {
      readonly type: 'offline'
      readonly run: RunId
      readonly destination: DestinationName
    }
  /** Somebody asked there that the run be stopped. */
  | {
      readonly type: 'stop requested'
      readonly run: RunId
      readonly destination: DestinationName
    }
  /** Something the user should know; `recovered` ends an earlier one of the same destination. */
  | {
      readonly type: 'issue'
      readonly run: RunId
      readonly destination: DestinationName
      readonly issue: ErrorRecord
      readonly severity: 'notice' | 'failing' | 'blocked' | 'recovered'
      /** Of a trouble: how far it has come. Absent for notices. */
      readonly outage?: Outage
    }
  /**
   * The destination is settled to the end, rows and uploads, or the deadline passed; its cursors are on disk, its
   * guards released. `complete` only when both are settled.
   */
  | {
      readonly type: 'closed'
      readonly run: RunId
      readonly destination: DestinationName
      readonly complete: boolean
      readonly reason: string
    }
