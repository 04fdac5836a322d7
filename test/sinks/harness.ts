/**
 * What the conformance suite asks of a backend's test double: a real store behind the real sink, and faults on
 * request. `test/sinks/<kind>/harness.ts` exports `start`. The suite decides by `definition.capabilities` and by
 * the faults a harness lists, never by name.
 */
import type { RunInfo, Series } from '../../src/core/types.ts'
import type { SinkDefinition } from '../../src/sinks/contract.ts'

/** Fault → what the sink must answer when a `write` meets it. */
export const FAULTS = {
  /** Nothing reached the store: connection refused or cut before anything was applied. → retry */
  cut: 'retry',
  /** Applied, but the answer never came. → retry; writing again leaves every point stored once */
  lostAnswer: 'retry',
  /** 429 with `Retry-After: 2`, nothing applied. → retry with afterMs 2000 */
  tooMany: 'retry after 2 s',
  /** 503 with `Retry-After: 2`, nothing applied. → retry with afterMs 2000 */
  unavailable: 'retry after 2 s',
  /** A 500 with an HTML body, nothing applied. → retry */
  serverError: 'retry',
  /** A success status (or the file's counterpart: fewer bytes written) with nothing applied. → anything but accepted */
  falseSuccess: 'not accepted',
  /** Credentials refused. → blocked, scope account */
  unauthorized: 'blocked account',
  /** The remote run (or file) was deleted. → blocked, scope run. Stays until the harness stops. */
  gone: 'blocked run',
  /** No room, quota used up. → retry or blocked */
  full: 'retry or blocked',
  /** No answer at all, for ever. The suite aborts: the promise must settle within a second, with any answer. */
  hang: 'settles on abort',
} as const
export type Fault = keyof typeof FAULTS

export interface StoredPoint {
  /** As the backend names the series; compared with `keyOf`. */
  readonly key: string
  readonly step: number
  /** Milliseconds since 1970; the suite logs whole milliseconds. */
  readonly time: number
  readonly value: number
}

/** What the backend holds of one run, read from its store, not from what the sink said. */
export interface StoredRun {
  /** Points of one series in the order the backend keeps them; twice when stored twice. */
  readonly points: readonly StoredPoint[]
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  /** State as last told; undefined where the backend cannot hold one or was not told. */
  readonly outcome: 'running' | 'finished' | 'failed' | 'killed' | undefined
  /** Steps that the run went back to, as the backend shows; absent where it shows no such marks. */
  readonly rewinds?: readonly number[]
  /** Titles of alerts, artifacts that the run read, files of the run by path with their SHA-256; absent where not read. */
  readonly alerts?: readonly string[]
  readonly inputs?: readonly string[]
  readonly files?: Readonly<Record<string, string>>
}

/** An upload that is complete: the step without a file has been taken. */
export interface StoredUpload {
  readonly kind: string
  readonly name: string
  /** Path → SHA-256 of the bytes, in hexadecimal. */
  readonly files: Readonly<Record<string, string>>
}

/** A record that rows name, as the backend shows it among them. */
export interface StoredMention {
  readonly kind: string
  readonly name: string
}

/** What the suite asks of a backend whose sink declares uploads of artifacts, or `mentions`. */
export interface UploadHarness {
  /** In any order; twice when stored twice. */
  stored(run: RunInfo): readonly StoredUpload[] | Promise<readonly StoredUpload[]>
  /** The name that a record of the kind has there. Default: its own. */
  nameOf?(kind: string, name: string): string
  /** In the order of the rows; twice when named twice. There where the sink declares `mentions`. */
  mentioned?(run: RunInfo): readonly StoredMention[] | Promise<readonly StoredMention[]>
  /** The next request of an upload of the run meets the fault, once. */
  failNext(fault: Fault, run: RunInfo): void
  readonly faults: readonly Fault[]
  /** From now on there is no room for any upload, or there is again. */
  fill(isFull: boolean): void
  /** A file of more bytes is refused; absent where any size is taken. */
  readonly maxFileBytes?: number
}

export interface SinkHarness {
  readonly definition: SinkDefinition
  /** As a user would give them. */
  readonly options: Readonly<Record<string, unknown>>
  /** More of them, with which `tune` gives other limits than without; there where the sink declares a `tune`. */
  readonly tuning?: Readonly<Record<string, unknown>>
  /** Texts within the options that must never be seen in an answer, notice or error. */
  readonly secrets: readonly string[]
  /** Those that can befall this backend; `cut` or `full` at least. */
  readonly faults: readonly Fault[]
  /** The next `write` of the run meets the fault, once. Called after `open` was ready. */
  failNext(fault: Fault, run: RunInfo): void | Promise<void>
  /** Empty when the backend knows no such run. */
  stored(run: RunInfo): Promise<StoredRun>
  keyOf(series: Series): string
  /** A point that the backend itself refuses for good; absent when it takes all that a double and a text can be. */
  readonly poison?: { readonly name: string; readonly value: number }
  /** Texts as they stand among the rows, in their order; there where the sink holds them until a beat. */
  held?(run: RunInfo): readonly StoredMention[] | Promise<readonly StoredMention[]>
  /** Absent: the suite's checks of uploads are left out. */
  readonly uploads?: UploadHarness
  /** Requests so far that were larger, in items or bytes, than the backend allows. */
  oversize(): number
  stop(): Promise<void>
}

export type StartHarness = () => Promise<SinkHarness>
