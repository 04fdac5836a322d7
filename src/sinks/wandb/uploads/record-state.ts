/** What the steps of one record have reached, shared by those under way at once and kept for after a crash. */
import type { Upload } from '../../../core/types.ts'

/** Of a cursor's 64 KiB: what is more is not kept, and done again after a crash. */
const MAX_STATE_BYTES = 48 * 1024

export type Kept = Readonly<Record<string, unknown>>

export class RecordState<State extends object> {
  /** What another process has left. */
  readonly isResumed: boolean
  #state: Partial<State>
  readonly #underWay = new Map<string, Promise<unknown>>()
  /** Of the steps that wait for one of them. */
  readonly #waiting = new Set<Upload['sent']>()

  constructor(state: Upload['state']) {
    this.isResumed = state !== undefined
    this.#state = (state ?? {}) as Partial<State>
  }

  get now(): Partial<State> {
    return this.#state
  }

  set(state: Partial<State>, { keep }: Pick<Upload, 'keep'>): void {
    this.#state = state
    if (JSON.stringify(state).length <= MAX_STATE_BYTES) keep(state as Kept)
  }

  /** What several steps need at once is asked for once. */
  async once<Result>(what: string, sent: Upload['sent'], ask: () => Promise<Result>): Promise<Result> {
    const underWay = (this.#underWay.get(what) as Promise<Result> | undefined) ?? ask()
    this.#underWay.set(what, underWay)
    this.#waiting.add(sent)
    try {
      return await underWay
    } finally {
      this.#waiting.delete(sent)
      if (this.#underWay.get(what) === underWay) this.#underWay.delete(what)
    }
  }

  /** One of them works for all: none is to be taken for dead. */
  readonly alive = (): void => {
    for (const sent of this.#waiting) sent(0)
  }
}
