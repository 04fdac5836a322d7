/** What the steps of one record have reached, shared by those under way at once and kept for after a crash. */
import type { Upload } from '../../../core/types.ts'
import type { PartsState } from '../stores/store.ts'

/** Stands in a cursor, which is a file: nothing in it is secret. */
export interface RecordState {
  /** The logged model made for the record, and where its files go. */
  readonly modelId?: string
  readonly modelUri?: string
  /** Version of the registered model. */
  readonly version?: string
  /** Ids of uploads in parts that were begun and are not over, by path. */
  readonly begun?: Readonly<Record<string, string>>
}

export class Progress {
  readonly seq: number
  #state: RecordState
  readonly #parts = new Map<string, PartsState>()
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
    return Object.keys(this.#state).length > 0 ? { ...this.#state } : undefined
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

  parts(path: string): PartsState | undefined {
    return this.#parts.get(path)
  }

  setParts(path: string, parts: PartsState | undefined, upload: Upload): void {
    if (parts === undefined) this.#parts.delete(path)
    else this.#parts.set(path, parts)
    if (this.#state.begun?.[path] === parts?.uploadId) return
    const { [path]: _over, ...others } = this.#state.begun ?? {}
    const begun = parts ? { ...others, [path]: parts.uploadId } : others
    const { begun: _old, ...rest } = this.#state
    this.#state = Object.keys(begun).length > 0 ? { ...rest, begun } : rest
    upload.keep(this.kept())
  }
}
