/** What may befall a request, one at a time or by a seeded plan. */
import { Random } from '../../../random.ts'

export type Fault =
  /** Answered so, and not carried out. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** 200 with a page of HTML, and not carried out. */
  | { readonly kind: 'falseSuccess' }
  /** 200 with GraphQL's `errors`, and not carried out. */
  | { readonly kind: 'graphqlError'; readonly message?: string }
  /** The connection breaks: before it is carried out, after it, or in the middle of the answer. */
  | { readonly kind: 'cut' | 'lostAnswer' | 'cutAnswer' }
  /** No answer, until the client goes: never carried out, or carried out at once. */
  | { readonly kind: 'hang'; readonly isApplied?: boolean }
  /** The answer comes so much later; `isLate`: carried out only then, too. */
  | { readonly kind: 'slow'; readonly ms: number; readonly isLate?: boolean }
  /** Of an upload or a download: its address is too old from now on. */
  | { readonly kind: 'expired' }
  /**
   * Of a look at a run: its tails and its summary are as they were so many lines ago, or its counts are too small.
   */
  | { readonly kind: 'staleTail' | 'shortCount'; readonly lines: number }

/** One request, as it was received. */
export interface StandInRequest {
  readonly kind: 'graphql' | 'file_stream' | 'upload' | 'other'
  readonly method: string
  /** Of the address, encoded as it came. */
  readonly path: string
  /** Name of GraphQL's operation, else '' */
  readonly operation: string
  /** entity/project/run where the address or the variables name it. */
  readonly run: string
  /** ms since the epoch */
  readonly at: number
  readonly bytes: number
  /** Of the answer; 0 before it, and where there is none. */
  status: number
  /** As it came; '' of uploads and where the server is light. */
  readonly body: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}
export type Matches = (request: StandInRequest) => boolean

export interface FaultPlan {
  readonly seed: number
  /** Of the matching requests that meet one: 0 to 1. */
  readonly share: number
  readonly faults: readonly Fault[]
  /** At most so many in all; default: no end. */
  readonly count?: number
  /** Default: file_stream. */
  readonly matches?: Matches
}

const isFileStream: Matches = ({ kind }) => kind === 'file_stream'

export class Faults {
  /** Faults that befell a request, by kind; of answers by status. */
  readonly met = new Map<string, number>()
  readonly #once: { readonly fault: Fault; readonly matches: Matches }[] = []
  #plan: (FaultPlan & { readonly random: Random; left: number }) | undefined

  /** The next request that matches meets it; default: of file_stream. */
  next(fault: Fault, matches: Matches = isFileStream): void {
    this.#once.push({ fault, matches })
  }

  /** What no request has met yet is forgotten. */
  clear(): void {
    this.#once.length = 0
  }

  plan(plan: FaultPlan | undefined): void {
    this.#plan = plan && {
      ...plan,
      random: new Random(plan.seed),
      left: plan.count ?? Number.POSITIVE_INFINITY,
    }
  }

  get count(): number {
    return [...this.met.values()].reduce((sum, count) => sum + count, 0)
  }

  of(request: StandInRequest): Fault | undefined {
    const at = this.#once.findIndex(({ matches }) => matches(request))
    const fault = at === -1 ? this.#planned(request) : this.#once.splice(at, 1)[0]!.fault
    if (fault !== undefined) {
      const name = fault.kind === 'answer' ? String(fault.status) : fault.kind
      this.met.set(name, (this.met.get(name) ?? 0) + 1)
    }
    return fault
  }

  #planned(request: StandInRequest): Fault | undefined {
    const plan = this.#plan
    if (plan === undefined || plan.left <= 0 || !(plan.matches ?? isFileStream)(request)) return undefined
    if (plan.random.next() >= plan.share) return undefined
    plan.left--
    return plan.random.pick(plan.faults)
  }
}
