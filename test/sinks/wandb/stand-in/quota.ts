/** Token buckets, and the headers by which W&B tells of them. */

export interface QuotaOptions {
  readonly perSecond: number
  /** Requests that may come at once; default: those of one second, at least one. */
  readonly burst?: number
}
export interface Quotas {
  /** file_stream requests of all runs of a project. */
  readonly project?: QuotaOptions
  /** file_stream requests of a run. */
  readonly run?: QuotaOptions
  /** Runs made in a project. */
  readonly creations?: QuotaOptions
}
export interface QuotaAnswer {
  readonly isRefused: boolean
  readonly headers: Readonly<Record<string, string>>
}

/** `RateLimit-Remaining` is a share of this. */
const SCALE = 1000

export class QuotaBook {
  /** Requests that were refused, by what ran out. */
  readonly violations = { project: 0, run: 0, creations: 0 }
  readonly #options: Quotas
  readonly #buckets = new Map<string, Bucket>()

  constructor(options: Quotas) {
    this.#options = options
  }

  /** @param keys of the buckets that one request draws on, by kind */
  take(keys: Partial<Record<keyof Quotas, string>>): QuotaAnswer {
    let lowest: Bucket | undefined
    const drawn: [keyof Quotas, Bucket][] = []
    for (const kind of Object.keys(keys) as (keyof Quotas)[]) {
      const options = this.#options[kind]
      if (options !== undefined) drawn.push([kind, this.#bucket(`${kind} ${keys[kind]}`, options)])
    }
    const empty = drawn.find(([, bucket]) => bucket.tokens < 1)
    if (empty === undefined) for (const [, bucket] of drawn) bucket.tokens--
    else this.violations[empty[0]]++
    for (const [, bucket] of drawn) if (lowest === undefined || bucket.share < lowest.share) lowest = bucket
    if (lowest === undefined) return { isRefused: false, headers: {} }
    const resetS = Math.ceil(lowest.secondsToFull)
    const headers: Record<string, string> = {
      'ratelimit-limit': String(SCALE),
      'ratelimit-remaining': String(Math.floor(lowest.share * SCALE)),
      'ratelimit-reset': String(resetS),
    }
    if (empty !== undefined) headers['retry-after'] = String(Math.ceil(empty[1].secondsToOne))
    return { isRefused: empty !== undefined, headers }
  }

  #bucket(key: string, options: QuotaOptions): Bucket {
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) this.#buckets.set(key, (bucket = new Bucket(options)))
    bucket.refill()
    return bucket
  }
}

class Bucket {
  tokens: number
  readonly #perSecond: number
  readonly #burst: number
  #at = performance.now()

  constructor({ perSecond, burst = Math.max(1, perSecond) }: QuotaOptions) {
    this.#perSecond = perSecond
    this.#burst = this.tokens = burst
  }

  get share(): number {
    return this.tokens / this.#burst
  }

  get secondsToOne(): number {
    return Math.max(0, (1 - this.tokens) / this.#perSecond)
  }

  get secondsToFull(): number {
    return (this.#burst - this.tokens) / this.#perSecond
  }

  refill(): void {
    const now = performance.now()
    this.tokens = Math.min(this.#burst, this.tokens + ((now - this.#at) / 1000) * this.#perSecond)
    this.#at = now
  }
}
