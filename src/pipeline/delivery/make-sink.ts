/** A sink, and what it may tell beside its answers. */
import { requestStop } from '../../core/counters.ts'
import type { Sink } from '../../core/types.ts'
import type { Health } from './health.ts'
import type { DeliverySite } from './site.ts'

/** @throws what the sink's `create` throws */
export function makeSink(site: DeliverySite, health: Health, asked: StopAsked): Sink {
  const { run, options, definition } = site
  return definition.create({
    run,
    options: options as never,
    notice: (code, message) => health.notice(code, message),
    stopRequested: () => asked.tell(site),
  })
}

/** Whether the destination has asked that the run be stopped: a backend says so with each answer, it is told once. */
export class StopAsked {
  #isTold = false

  tell({ run, name: destination, live, tell }: DeliverySite): void {
    // a run at rest has nobody who could stop it
    if (this.#isTold || live === undefined) return
    this.#isTold = true
    requestStop(live.buffer as SharedArrayBuffer)
    tell({ type: 'stop requested', run: run.id, destination })
  }
}
