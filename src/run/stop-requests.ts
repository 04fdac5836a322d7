/** What becomes of somebody's wish, told at a backend, that the run be stopped: the program hears of it, and decides. */
import type { DestinationName } from '../core/types.ts'
import { say } from '../pipeline/say.ts'
import type { Issues } from './issues.ts'

export interface StopRequest {
  /** Where it was asked. */
  readonly destination: DestinationName
}
export type StopRequestHandler = (request: StopRequest) => void

export class StopRequests {
  readonly #handler: StopRequestHandler | undefined
  readonly #issues: Issues
  readonly #heard = new Set<DestinationName>()

  constructor(handler: StopRequestHandler | undefined, issues: Issues) {
    this.#handler = handler
    this.#issues = issues
  }

  /** A delivery thread that takes over from another tells it again. */
  hear(run: string, destination: DestinationName): void {
    if (this.#heard.has(destination)) return
    this.#heard.add(destination)
    const code = 'ERR_STOP_REQUESTED'
    const message = `somebody asked that run ${run} be stopped; it goes on until the program ends it`
    this.#issues.report({ code, message, destination, severity: 'notice' }, `${run} ${destination} ${code}`)
    const failed = (error: unknown) =>
      say(`onStopRequest failed: ${error instanceof Error ? error.message : `threw a ${typeof error}`}`)
    try {
      const answer: unknown = this.#handler?.({ destination })
      // an async handler's rejection would end the program
      if (answer instanceof Promise) answer.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
