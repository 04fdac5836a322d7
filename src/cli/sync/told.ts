/**
 * What is said on stderr while runs are synced. Of many runs at one backend in trouble each would say the same: then
 * the first says it, until the backend answers again.
 */
import type { ErrorRecord } from '../../core/errors.ts'
import type { FromDelivery } from '../../pipeline/messages.ts'
import { say } from '../../pipeline/say.ts'

type Issue = Extract<FromDelivery, { type: 'issue' }>

/** Notices of one code at one destination: names that were mapped may differ in each run. */
const MAX_NOTICES = 5

/** A backend that comes and goes is told of no more often. */
const REPEAT_MS = 60_000

export class Told {
  readonly #isMany: boolean
  readonly #before: () => void
  /** Destinations in trouble, each with the codes that were heard since it last got something through. */
  readonly #troubles = new Map<string, Set<string>>()
  readonly #toldAt = new Map<string, number>()
  readonly #notices = new Map<string, number>()
  readonly #damages = new Set<string>()

  /** @param before called ahead of each line: takes away what stands at the foot of the terminal */
  constructor(isMany: boolean, before: () => void) {
    this.#isMany = isMany
    this.#before = before
  }

  hear(message: FromDelivery): void {
    if (message.type === 'issue' && (!this.#isMany || this.#isNews(message))) this.#tell(message)
  }

  /** What is damaged of a run's file although the run can be read: once, also of many looks at it. */
  damaged({ message }: ErrorRecord): void {
    if (this.#damages.has(message)) return
    this.#damages.add(message)
    this.#before()
    say(message)
  }

  #tell({ run, destination, severity, issue }: Issue): void {
    this.#before()
    const which =
      this.#isMany && severity !== 'recovered' ? ` (run ${run}; of others it is not said again)` : ''
    say(`${destination}: ${issue.message}${which}`)
  }

  #isNews({ destination, severity, issue }: Issue): boolean {
    // One run that gets through tells that the backend answers.
    if (severity === 'recovered') return this.#troubles.delete(destination)
    const key = `${destination} ${issue.code}`
    if (severity === 'notice') {
      const times = (this.#notices.get(key) ?? 0) + 1
      this.#notices.set(key, times)
      return times <= MAX_NOTICES
    }
    const codes = this.#troubles.get(destination) ?? new Set()
    this.#troubles.set(destination, codes)
    if (codes.has(issue.code)) return false
    codes.add(issue.code)
    const now = performance.now()
    if (now - (this.#toldAt.get(key) ?? -Infinity) < REPEAT_MS) return false
    this.#toldAt.set(key, now)
    return true
  }
}
