/** A stand-in for W&B's server in a process of its own, so that its work is not counted as ours. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import type { StandInOptions } from '../test/sinks/wandb/stand-in/stand-in.ts'

export type ToServer =
  | { readonly delayMs: number }
  | { readonly forget: true }
  /** entity/project/run; '' for all. */
  | { readonly see: string }
  | { readonly rows: string }
  | { readonly quotas: true }
export type FromServer =
  | { readonly url: string }
  | { readonly runs: readonly RunSeen[]; readonly problems: readonly string[] }
  | { readonly rows: readonly Record<string, unknown>[] }
  | { readonly violations: Violations }
  | Record<string, never>

/** Requests that were refused, by what ran out. */
export interface Violations {
  readonly project: number
  readonly run: number
  readonly creations: number
}

/** A run as the server has it; times in ms since the epoch. */
export interface RunSeen {
  readonly path: string
  /** When the answer to its creation was made. */
  readonly createdAtMs: number
  /** Of the history, each counted once. */
  readonly lines: number
  /** Lines that came again. */
  readonly again: number
  readonly bytes: number
  /** Lines that were there after each request that brought some. */
  readonly growth: readonly { readonly lines: number; readonly atMs: number }[]
  readonly state: string
  readonly requests: number
  readonly heartbeats: number
  /** Since its last request, or change by another one. */
  readonly silentMs: number
  readonly problems: number
}

export class WandbServer {
  readonly url: string
  /** Any of the right length will do. */
  readonly key: string = 'k'.repeat(40)
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, url: string) {
    this.#process = process
    this.url = url
  }

  static async start(options: StandInOptions = {}): Promise<WandbServer> {
    const program = fileURLToPath(workerUrl('./wandb-server-program', import.meta.url))
    const process = fork(program, [JSON.stringify(options)], { execArgv: [], serialization: 'advanced' })
    const [{ url }] = (await once(process, 'message')) as [Extract<FromServer, { url: string }>]
    return new WandbServer(process, url)
  }

  /** Round trip that every request takes longer from now on. */
  async delay(delayMs: number): Promise<void> {
    await this.#ask({ delayMs })
  }

  /** All runs; what they were is gone. */
  async forget(): Promise<void> {
    await this.#ask({ forget: true })
  }

  async run(path: string): Promise<RunSeen> {
    const { runs, problems } = await this.#ask<Extract<FromServer, { runs: unknown }>>({ see: path })
    if (problems.length > 0) throw new Error(`the server found: ${problems.slice(0, 5).join('; ')}`)
    if (runs.length !== 1) throw new Error(`the server has no run ${path}`)
    return runs[0]!
  }

  async runs(): Promise<readonly RunSeen[]> {
    const { runs, problems } = await this.#ask<Extract<FromServer, { runs: unknown }>>({ see: '' })
    if (problems.length > 0) throw new Error(`the server found: ${problems.slice(0, 5).join('; ')}`)
    return runs
  }

  /** Lines of a run's history, read: of a server that keeps them. */
  async rows(path: string): Promise<readonly Record<string, unknown>[]> {
    return (await this.#ask<Extract<FromServer, { rows: unknown }>>({ rows: path })).rows
  }

  async violations(): Promise<Violations> {
    return (await this.#ask<Extract<FromServer, { violations: unknown }>>({ quotas: true })).violations
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    await ended
  }

  async #ask<Answer extends FromServer>(message: ToServer): Promise<Answer> {
    const answer = once(this.#process, 'message')
    this.#process.send(message)
    return ((await answer) as [Answer])[0]
  }
}
