/** Where to look at runs, told on stderr: once when a backend first says, and again at the end of a long run. */
import { monotonicNow } from '../core/clock.ts'
import type { DestinationName, RunId } from '../core/types.ts'
import { say } from '../pipeline/say.ts'

/** So many runs that are under way at once tell theirs; hundreds would only scroll each other away. */
const MOST_RUNS = 10
/** What was told longer ago is told again when the run ends. */
const LONG_AGO_MS = 60_000

interface Told {
  readonly urls: Map<DestinationName, { readonly url: string; readonly at: number }>
}

export class Addresses {
  readonly #say: (line: string) => void
  readonly #now: () => number
  readonly #runs = new Map<RunId, Told>()
  #isMoreTold = false

  constructor(tell: (line: string) => void = say, now: () => number = monotonicNow) {
    this.#say = tell
    this.#now = now
  }

  /** A folder is no address: whoever named it knows where it is. */
  hear(run: RunId, destination: DestinationName, url: string): void {
    if (!/^https?:\/\//i.test(url)) return
    const told = this.#runs.get(run) ?? this.#begin(run)
    if (told === undefined || told.urls.get(destination)?.url === url) return
    told.urls.set(destination, { url, at: this.#now() })
    this.#say(lineOf(run, destination, url))
  }

  /** The run has ended. */
  leave(run: RunId): void {
    const now = this.#now()
    for (const [destination, { url, at }] of this.#runs.get(run)?.urls ?? [])
      if (now - at > LONG_AGO_MS) this.#say(lineOf(run, destination, url))
    this.#runs.delete(run)
  }

  #begin(run: RunId): Told | undefined {
    if (this.#runs.size >= MOST_RUNS) {
      if (!this.#isMoreTold) this.#say('where to look at further runs is told by stats() and tracelet show')
      this.#isMoreTold = true
      return undefined
    }
    const told: Told = { urls: new Map() }
    this.#runs.set(run, told)
    return told
  }
}

function lineOf(run: RunId, destination: DestinationName, url: string): string {
  return `run ${run}: ${destination}: ${url}`
}
