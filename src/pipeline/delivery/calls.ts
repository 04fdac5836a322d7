/** Calls of a sink that have not been answered, and waits that end whatever it does. */
import { monotonicNow } from '../../core/clock.ts'
import type { OpenResult, Sink, SinkState } from '../../core/types.ts'

/** An opening takes several requests. */
const CALL_TIMEOUT_MS = 180_000
const OPENING: CallPatience = { silenceMs: CALL_TIMEOUT_MS, isFirm: false }
const SINK_CLOSE_MS = 5_000
const MAX_TIMER_MS = 2 ** 31 - 1

/** Why a call was aborted that did not get on. */
export class Silence extends Error {
  constructor(ms: number) {
    super(`no answer for ${Math.round(ms / 1000)} s`)
  }
}

/** Whether it was ended by us for reasons of ours: its answer says nothing of the backend. */
export function isGivenUp({ aborted, reason }: AbortSignal): boolean {
  return aborted && !(reason instanceof Silence)
}

/** How long a call is waited for that does not get on. */
export interface CallPatience {
  readonly silenceMs: number
  /** `limit` says nothing of it. */
  readonly isFirm: boolean
}

export type TrackedCall = (signal: AbortSignal, alive: () => void) => Promise<void>

interface OpenCall {
  readonly controller: AbortController
  /** Aborts it when nothing is heard for so long from now on. */
  limit(silenceMs: number): void
}

export class Calls {
  readonly #open = new Map<Promise<void>, OpenCall>()
  readonly #onSettled: () => void

  constructor(onSettled: () => void) {
    this.#onSettled = onSettled
  }

  get size(): number {
    return this.#open.size
  }

  /**
   * @param call never rejects; calls `alive` as it gets on
   */
  track(call: TrackedCall, patience: CallPatience = OPENING): void {
    const controller = new AbortController()
    let limitMs = patience.silenceMs
    let aliveAt = monotonicNow()
    const give = () => controller.abort(new Silence(monotonicNow() - aliveAt))
    let timer = setTimeout(give, limitMs)
    let isOver = false
    const alive = () => {
      // a timer that was cleared would be armed again
      if (isOver) return
      aliveAt = monotonicNow()
      timer.refresh()
    }
    const limit = (ms: number) => {
      if (isOver || patience.isFirm || ms >= limitMs) return
      limitMs = ms
      clearTimeout(timer)
      timer = setTimeout(give, Math.max(0, ms - (monotonicNow() - aliveAt)))
    }
    const settled = call(controller.signal, alive).finally(() => {
      isOver = true
      clearTimeout(timer)
      this.#open.delete(settled)
      this.#onSettled()
    })
    this.#open.set(settled, { controller, limit })
  }

  /** Those that are open now, not later ones, are aborted when they do not get on for so long. */
  limit(silenceMs: number): void {
    for (const { limit } of this.#open.values()) limit(silenceMs)
  }

  abort(reason: string): void {
    for (const { controller } of this.#open.values()) controller.abort(new Error(reason))
  }

  /** Resolves when all that are open now are settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#open.keys())
  }
}

const OPEN_STATUSES: ReadonlySet<unknown> = new Set(['ready', 'retry', 'blocked'])

/** A throw, or an answer that is none, is a bug of the sink: the run is blocked. */
export async function openSink(sink: Sink, state: SinkState, signal: AbortSignal): Promise<OpenResult> {
  try {
    const result = await sink.open(state, signal)
    if (!OPEN_STATUSES.has(result?.status)) throw new Error('open() gave no known status')
    return result
  } catch (error) {
    const reason = `its sink threw: ${error instanceof Error ? error.message : String(error)}`
    return { status: 'blocked', scope: 'run', code: 'ERR_SINK_BUG', reason }
  }
}

export async function closeSink(sink: Sink | undefined, maxMs: number): Promise<void> {
  if (sink === undefined) return
  // a sink of somebody else may throw at once or give no promise
  const closing = (async () => sink.close())().catch(() => {})
  await within(closing, Math.min(SINK_CLOSE_MS, maxMs))
}

/** Waits for a promise that never rejects, but not longer than that. */
export async function within(promise: Promise<unknown>, maxMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, Math.min(maxMs, MAX_TIMER_MS)))
  })
  await Promise.race([promise, timeout])
  clearTimeout(timer)
}
