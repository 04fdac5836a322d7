/** The stand-in in a process of its own, so that it takes nothing from the one that measures or is measured. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Fault, FaultPlan, StandInOptions, WandbStandIn } from './stand-in.ts'

/** What a run has come to, without its bodies. */
export interface RunCounts {
  readonly path: string
  readonly state: string
  readonly exitCode: number | undefined
  readonly historyLines: number
  readonly historyBytes: number
  readonly overlapSame: number
  readonly eventLines: number
  readonly outputLines: number
  readonly requests: number
  readonly heartbeats: number
  readonly problems: readonly string[]
}
export interface StandInCounts {
  readonly runs: readonly RunCounts[]
  readonly problems: readonly string[]
  readonly violations: WandbStandIn['quotas']['violations']
  readonly faults: number
  /** Of the stand-in's process, user and system, in ms. */
  readonly cpuMs: number
}
export type Message =
  | { readonly ask: 'counts' }
  | { readonly ask: 'delay'; readonly delayMs: number }
  | { readonly ask: 'fault'; readonly fault: Fault }
  | { readonly ask: 'plan'; readonly plan: Omit<FaultPlan, 'matches'> | undefined }
  | { readonly ask: 'lines'; readonly path: string }

const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const PROGRAM = fileURLToPath(new URL(`./program${EXTENSION}`, import.meta.url))

export class StandInProcess {
  readonly url: string
  readonly pid: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
    this.pid = child.pid!
  }

  static async start(options: StandInOptions = {}): Promise<StandInProcess> {
    const child = fork(PROGRAM, [JSON.stringify(options)], { execArgv: [], stdio: 'inherit' })
    const [first] = await Promise.race([
      once(child, 'message') as Promise<[{ readonly url: string }]>,
      once(child, 'exit').then(([code]) => {
        throw new Error(`the stand-in's process ended with ${code}`)
      }),
    ])
    return new StandInProcess(child, first.url)
  }

  counts(): Promise<StandInCounts> {
    return this.#ask({ ask: 'counts' }) as Promise<StandInCounts>
  }

  /** The history of a run, by its path. */
  lines(path: string): Promise<readonly string[]> {
    return this.#ask({ ask: 'lines', path }) as Promise<readonly string[]>
  }

  async setDelay(delayMs: number): Promise<void> {
    await this.#ask({ ask: 'delay', delayMs })
  }

  /** Befalls the next request of file_stream. */
  async failNext(fault: Fault): Promise<void> {
    await this.#ask({ ask: 'fault', fault })
  }

  /** Befalls requests of file_stream. */
  async planFaults(plan: Omit<FaultPlan, 'matches'> | undefined): Promise<void> {
    await this.#ask({ ask: 'plan', plan })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }

  // one question at a time, so that its answer needs no number
  #last: Promise<unknown> = Promise.resolve()
  #ask(message: Message): Promise<unknown> {
    const answer = this.#last.then(async () => {
      const answered = once(this.#child, 'message')
      this.#child.send(message)
      const [given] = await answered
      return (given as { answer?: unknown }).answer
    })
    this.#last = answer.catch(() => {})
    return answer
  }
}
