/**
 * How a command that takes long heeds signals: the first asks it to end well, and it says so; the next one is obeyed
 * as if nobody listened. Only for commands whose event loop turns: a listener on a loop that does not would keep
 * Ctrl-C waiting.
 */
import { constants } from 'node:os'
import { say } from '../pipeline/say.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** A wrapper such as npx hands on a signal that the terminal has sent to us as well. */
const SAME_SIGNAL_MS = 100

export class Ending {
  readonly #words: string
  readonly #controller = new AbortController()
  readonly #hear = (name: NodeJS.Signals) => this.#heard(name)
  #asked: { readonly name: NodeJS.Signals; readonly at: number } | undefined

  /** @param words what it still does then, for the one who asks */
  constructor(words: string) {
    this.#words = words
    for (const name of SIGNALS) process.on(name, this.#hear)
  }

  /** Aborts with the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What a shell shows for a command that the signal has ended; undefined when none came. */
  get exitCode(): number | undefined {
    return this.#asked && 128 + constants.signals[this.#asked.name]
  }

  /** What `work` gives; undefined when it has not after the first signal and `graceMs` more. */
  async within<Result>(work: Promise<Result>, graceMs: number): Promise<Result | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      const begin = () => {
        timer = setTimeout(resolve, graceMs, undefined)
      }
      if (this.signal.aborted) begin()
      else this.signal.addEventListener('abort', begin, { once: true })
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** From here on signals do what they do when nobody listens. */
  stop(): void {
    for (const name of SIGNALS) process.off(name, this.#hear)
  }

  #heard(name: NodeJS.Signals): void {
    const at = performance.now()
    if (this.#asked === undefined) {
      this.#asked = { name, at }
      say(`ending: ${this.#words}; again: at once`)
      this.#controller.abort()
    } else if (at - this.#asked.at > SAME_SIGNAL_MS) {
      this.stop()
      process.kill(process.pid, name)
    }
  }
}

/** Ends the process though something is still waited for, when all that was printed is out. */
export function exitPrinted(code: number): Promise<never> {
  return new Promise(() => {
    process.stdout.write('', () => process.exit(code))
  })
}
