/** Which file_stream requests of a run are under way at once: a sender has one at most. */
import { setTimeout as sleep } from 'node:timers/promises'

/** How long the end of a connection that its client gave up may take to be seen. */
const GRACE_MS = 250
type End = 'answered' | 'gone'

export class Exchange {
  /** Of the same run, under way when this one began. */
  readonly others: readonly Exchange[]
  #end: End | undefined
  readonly #ended: Promise<End>
  #settle: (end: End) => void = () => {}

  constructor(others: readonly Exchange[]) {
    this.others = others
    this.#ended = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  get isOver(): boolean {
    return this.#end !== undefined
  }

  /** The first end counts; `gone`: its client gave up before it had an answer. */
  close(end: End): void {
    this.#end ??= end
    this.#settle(this.#end)
  }

  /** Whether another one was really at work beside this one, and not given up a moment before. */
  async hasRival(): Promise<boolean> {
    if (this.others.length === 0) return false
    const given = new AbortController()
    const late = sleep(GRACE_MS, 'late', { signal: given.signal }).catch(() => 'late')
    const ends = await Promise.all(this.others.map((other) => Promise.race([other.#ended, late])))
    given.abort()
    return ends.some((end) => end !== 'gone')
  }
}

export class InFlight {
  readonly #open = new Map<string, Set<Exchange>>()

  /** @param run its path; undefined of requests that may come together */
  begin(run: string | undefined): Exchange {
    if (run === undefined) return new Exchange([])
    let open = this.#open.get(run)
    if (open === undefined) this.#open.set(run, (open = new Set()))
    const exchange = new Exchange([...open].filter(({ isOver }) => !isOver))
    open.add(exchange)
    return exchange
  }

  end(run: string | undefined, exchange: Exchange): void {
    exchange.close('gone')
    if (run !== undefined) this.#open.get(run)?.delete(exchange)
  }
}
