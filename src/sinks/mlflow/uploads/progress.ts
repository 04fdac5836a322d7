/** What the steps of one record have reached, shared by those under way at once and kept for after a crash. */
import type { Upload } from '../../../core/types.ts'
import type { PartsState } from './store.ts'

export interface RecordState {
  /** The logged model made for the record, and where its files go. */
  readonly modelId?: string
  readonly modelUri?: string
  /** Version of the registered model. */
  readonly version?: string
  /** Parts of large files under way, by path. */
  readonly parts?: Readonly<Record<string, PartsState>>
}

/** Of the contract's 64 KiB; parts that do not fit are known only while the process lives. */
const MAX_STATE_CHARS = 60_000

export class Progress {
  readonly seq: number
  #state: RecordState
  readonly #underWay = new Map<string, Promise<unknown>>()

  constructor({ seq, state }: Upload) {
    this.seq = seq
    this.#state = (state ?? {}) as RecordState
  }

  get state(): RecordState {
    return this.#state
  }

  /** As an answer or `keep` carries it. */
  kept(): Readonly<Record<string, unknown>> | undefined {
    const { parts, ...rest } = this.#state
    const whole = parts && Object.keys(parts).length > 0 ? this.#state : rest
    const fits = JSON.stringify(whole).length <= MAX_STATE_CHARS ? whole : rest
    return Object.keys(fits).length > 0 ? { ...fits } : undefined
  }

  set(more: Partial<RecordState>, upload: Upload): void {
    this.#state = { ...this.#state, ...more }
    upload.keep(this.kept())
  }

  /** What several steps need at once is asked for once. */
  async once<Result>(what: string, ask: () => Promise<Result>): Promise<Result> {
    const underWay = (this.#underWay.get(what) as Promise<Result> | undefined) ?? ask()
    this.#underWay.set(what, underWay)
    try {
      return await underWay
    } finally {
      this.#underWay.delete(what)
    }
  }

  setParts(path: string, parts: PartsState | undefined, upload: Upload): void {
    const { [path]: _old, ...others } = this.#state.parts ?? {}
    this.set({ parts: parts ? { ...others, [path]: parts } : others }, upload)
  }
}
