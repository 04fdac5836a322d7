/**
 * The stream of one run: one request in flight, whoever of this thread sends it. The sink of the rows and that of the
 * uploads share it.
 *
 * T1 A second request waits for the first: W&B moves lines that would leave a gap.
 * T2 A run that is closed stays closed: what comes after that repeats `complete` and `exitcode`, which the server
 *    forgets with the first request that has neither.
 */
import { monotonicNow } from '../../core/clock.ts'
import type { Refusal } from '../http.ts'
import type { Answered, RemoteRun, WandbApi } from './api.ts'
import { asciiJson } from './escape.ts'

export interface StreamParts {
  /** `"wandb-history.jsonl":{"offset":0,"content":["…"]}` of each file, in ASCII. */
  readonly files?: readonly string[]
  /** Paths of run files that are there now. */
  readonly uploaded?: readonly string[]
  /** Closes the run with it. */
  readonly exitCode?: number
}

export interface Streamed {
  /** The user has pressed Stop there. */
  readonly isStopRequested: boolean
}

const streams = new Map<string, { readonly stream: RunStream; users: number }>()

export class RunStream {
  readonly #key: string
  /** Settles when the request in flight does. */
  #last: Promise<unknown> = Promise.resolve()
  #lastAt = Number.NEGATIVE_INFINITY
  #exitCode: number | undefined

  private constructor(key: string) {
    this.#key = key
  }

  /** That of the run in this thread; `release` it once for each. */
  static of({ baseUrl }: WandbApi, { entity, project, run }: RemoteRun): RunStream {
    const key = JSON.stringify([baseUrl, entity, project, run])
    let shared = streams.get(key)
    if (shared === undefined) {
      shared = { stream: new RunStream(key), users: 0 }
      streams.set(key, shared)
    }
    shared.users++
    return shared.stream
  }

  release(): void {
    const shared = streams.get(this.#key)
    if (shared !== undefined && shared.stream === this && --shared.users === 0) streams.delete(this.#key)
  }

  /** How the run was closed; undefined while it is open. */
  get exitCode(): number | undefined {
    return this.#exitCode
  }

  /** Since the last request was taken; Infinity before the first. */
  get silentMs(): number {
    return monotonicNow() - this.#lastAt
  }

  /** As the cursor knows it. */
  restore(exitCode: number | undefined): void {
    this.#exitCode ??= exitCode
  }

  reopen(): void {
    this.#exitCode = undefined
  }

  /** Empty parts are a sign of life. */
  async send(
    api: WandbApi,
    remote: RemoteRun,
    parts: StreamParts,
    signal: AbortSignal,
  ): Promise<Answered<Streamed>> {
    return this.#alone(signal, async () => {
      const exitCode = parts.exitCode ?? this.#exitCode
      const body = Buffer.from(bodyOf(parts, exitCode), 'latin1')
      const answer = await api.fileStream(remote, body, signal)
      if ('refusal' in answer) return answer
      this.#lastAt = monotonicNow()
      this.#exitCode = exitCode
      return { ...answer, data: { isStopRequested: answer.data.stopped === true } }
    })
  }

  /** Waits for its turn, but no longer than the signal lets it. */
  async #alone<T>(signal: AbortSignal, send: () => Promise<Answered<T>>): Promise<Answered<T>> {
    const before = this.#last
    let leave = () => {}
    this.#last = Promise.all([before, new Promise<void>((resolve) => (leave = resolve))])
    try {
      if ((await Promise.race([before, aborted(signal)])) === ABORTED) return { refusal: GIVEN_UP, code: 0 }
      return await send()
    } finally {
      leave()
    }
  }
}

const ABORTED = Symbol('aborted')
const GIVEN_UP: Refusal = {
  status: 'retry',
  code: 'ERR_UNREACHABLE',
  reason: 'the request before it has no answer yet',
  unsent: true,
}

async function aborted(signal: AbortSignal): Promise<typeof ABORTED> {
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  return ABORTED
}

function bodyOf({ files = [], uploaded = [] }: StreamParts, exitCode: number | undefined): string {
  const parts: string[] = []
  if (files.length > 0) parts.push(`"files":{${files.join(',')}}`)
  if (uploaded.length > 0) parts.push(`"uploaded":${asciiJson(uploaded)}`)
  if (exitCode !== undefined) parts.push(`"complete":true,"exitcode":${exitCode}`)
  return `{${parts.join(',')}}`
}
