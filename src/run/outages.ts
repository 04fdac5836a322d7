/**
 * Troubles of destinations as they are put into words, and what hundreds of runs at one dead server say together:
 * one line when it starts, one a minute while it lasts, one when the last of them goes on.
 */
import { duration } from '../core/duration.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { DestinationName, RunId } from '../core/types.ts'
import type { FromDelivery, Outage } from '../pipeline/messages.ts'

type IssueMessage = Extract<FromDelivery, { type: 'issue' }>
/** What is told of a trouble, worded. */
export interface Told {
  readonly code: ErrorCode
  readonly message: string
  readonly destination: DestinationName
  readonly severity: 'error' | 'warning' | 'recovered'
}

const REPEAT_MS = 60_000
/** Runs repeat theirs once a minute, each at its own second. */
const SAME_MINUTE_MS = REPEAT_MS - 1_000
const NOTHING: Outage = { forMs: 0, points: 0, records: 0, lost: 0 }

/** What one run says of its own trouble. */
export function toldOf({ destination, severity, issue, outage = NOTHING }: IssueMessage): Told {
  const { code, message } = issue
  if (severity === 'recovered')
    return { code, destination, severity, message: `${message}${endText(outage, 1)}` }
  return {
    code,
    destination,
    severity: severity === 'blocked' ? 'error' : 'warning',
    message: `${message}${lastingText(outage, 1)}`,
  }
}

interface Shared {
  /** Destinations of runs that are in trouble, as each has told it last. */
  readonly runs: Map<string, Outage>
  /** Of those that have recovered. */
  recovered: number
  lost: number
  longestMs: number
  toldAt: number
  isTold: boolean
  isToldBlocked: boolean
}

/** For runs that share one way of being told. */
export class Outages {
  readonly #shared = new Map<string, Shared>()
  /** Under which key a destination of a run is in trouble. */
  readonly #keys = new Map<string, string>()
  /** When what is over was told first: of what comes and goes no more is told than of what lasts. */
  readonly #toldBefore = new Map<string, number>()

  /**
   * @param now ms of any clock that never goes back
   * @returns what is to be said now
   */
  hear(run: RunId, message: IssueMessage, now: number): Told | undefined {
    const { destination, severity, outage = NOTHING } = message
    const member = `${run} ${destination}`
    if (severity === 'recovered') return this.#recovered(member, message, outage)
    const key = outage.account === undefined ? member : `${destination} ${outage.account}`
    if (this.#keys.get(member) !== key) this.#forget(member)
    this.#keys.set(member, key)
    return this.#lasts(key, member, message, outage, now)
  }

  /** The run has ended: it is in no trouble any more, and has not recovered. */
  leave(run: RunId, destinations: Iterable<DestinationName>): void {
    for (const destination of destinations) this.#forget(`${run} ${destination}`)
  }

  #lasts(key: string, member: string, message: IssueMessage, outage: Outage, now: number): Told | undefined {
    let shared = this.#shared.get(key)
    if (shared === undefined) {
      shared = {
        runs: new Map(),
        recovered: 0,
        lost: 0,
        longestMs: 0,
        toldAt: this.#toldBefore.get(key) ?? -Infinity,
        isTold: false,
        isToldBlocked: false,
      }
      this.#shared.set(key, shared)
    }
    shared.runs.set(member, outage)
    shared.longestMs = Math.max(shared.longestMs, outage.forMs)
    const isBlocked = message.severity === 'blocked'
    if (now - shared.toldAt < SAME_MINUTE_MS && (!isBlocked || shared.isToldBlocked)) return undefined
    shared.toldAt = now
    if (!shared.isTold) this.#noteTold(key, now)
    shared.isTold = true
    shared.isToldBlocked ||= isBlocked
    const told = toldOf({ ...message, outage: NOTHING })
    return { ...told, message: `${told.message}${lastingText(sumOf(shared), shared.runs.size)}` }
  }

  #recovered(member: string, message: IssueMessage, outage: Outage): Told | undefined {
    const shared = this.#forget(member)
    if (shared === undefined) return undefined
    shared.recovered++
    shared.lost += outage.lost
    shared.longestMs = Math.max(shared.longestMs, outage.forMs)
    if (shared.runs.size > 0 || !shared.isTold) return undefined
    const { destination, issue } = message
    const end = endText({ ...outage, forMs: shared.longestMs, lost: shared.lost }, shared.recovered)
    return { code: issue.code, destination, severity: 'recovered', message: `${issue.message}${end}` }
  }

  #noteTold(key: string, now: number): void {
    for (const [other, at] of this.#toldBefore) if (now - at >= SAME_MINUTE_MS) this.#toldBefore.delete(other)
    this.#toldBefore.set(key, now)
  }

  #forget(member: string): Shared | undefined {
    const key = this.#keys.get(member)
    if (key === undefined) return undefined
    this.#keys.delete(member)
    const shared = this.#shared.get(key)
    shared?.runs.delete(member)
    if (shared?.runs.size === 0) this.#shared.delete(key)
    return shared
  }
}

function sumOf({ runs, longestMs }: Shared): Outage {
  let points = 0
  let records = 0
  let lost = 0
  for (const outage of runs.values()) {
    points += outage.points
    records += outage.records
    lost += outage.lost
  }
  return { forMs: longestMs, points, records, lost }
}

/** In brackets behind the reason; '' when it has just begun. */
function lastingText({ forMs, points, records }: Outage, runs: number): string {
  if (forMs < REPEAT_MS / 2) return ''
  const many = runs > 1 ? `${amount(runs, 'run')}, ` : ''
  return ` (${many}for ${duration(forMs)}; ${amount(points, 'point')} and ${amount(records, 'record')} wait)`
}

function endText({ forMs, points, records, lost }: Outage, runs: number): string {
  if (forMs === 0 && points === 0) return ''
  const many = runs > 1 ? `, ${amount(runs, 'run')}` : ''
  const waiting =
    runs === 1 && points + records > 0
      ? `; ${amount(points, 'point')} and ${amount(records, 'record')} are on their way`
      : ''
  const losses =
    lost > 0
      ? `${amount(lost, 'point or record', 'points or records')} could not be kept on the disk meanwhile`
      : 'nothing was lost'
  return ` after ${duration(forMs)}${many}: ${losses}${waiting}`
}

function amount(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
}
