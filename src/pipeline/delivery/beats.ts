/**
 * Beats of one open run. They are calls like writes: they go by the account's limits, are given up when they hang, and
 * what they answer counts. One begins only while nothing else is under way and everything before it is committed, so
 * that the state it leaves is that of the cursor.
 */
import type { Answer } from './answer.ts'
import { answerOf, codeOf } from './answer.ts'
import { isGivenUp, Silence } from './calls.ts'
import type { SendingParts } from './cargo.ts'
import type { Heartbeat } from './heartbeat.ts'
import { PROBE_MS } from './limiter.ts'

export class Beats {
  readonly #parts: SendingParts
  readonly #heartbeat: Heartbeat
  /** Beats that were given up one after the other. */
  #silences = 0
  #isUnderWay = false
  #hasHadTurn = false
  #isSealed = false

  constructor(parts: SendingParts, heartbeat: Heartbeat) {
    this.#parts = parts
    this.#heartbeat = heartbeat
    if (parts.sink.beat === undefined) heartbeat.cease()
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay
  }

  /** One has been answered. */
  get hasHadTurn(): boolean {
    return this.#hasHadTurn
  }

  /** The run was opened for one, or the last one was not taken. */
  get isOwed(): boolean {
    return this.#heartbeat.isOwed
  }

  /** Another call of the sink begins. */
  called(now: number): void {
    this.#heartbeat.called(now)
  }

  /**
   * Nothing is to be sent before `busyAt`: begins a beat if it is time for one.
   * @returns monotonic time of the next turn
   */
  send(busyAt: number, now: number): number {
    const { site, track, wake } = this.#parts
    const { beatMs } = site.definition.limits
    const { dueAt, isOwed } = this.#heartbeat
    // ahead of a write that comes soon it would be a request for nothing
    if (dueAt === Infinity || (!isOwed && busyAt - dueAt <= beatMs!)) return busyAt
    if (dueAt > now) return Math.min(dueAt, busyAt)
    const readyAt = site.account.readyAt(wake, now)
    if (readyAt > now) return Math.min(readyAt, busyAt)
    this.#isUnderWay = true
    this.#heartbeat.called(now)
    site.account.begin(wake, now)
    const silenceMs = site.account.patience.ms(this.#silences)
    track((signal) => this.#beat(signal), { silenceMs, isFirm: false })
    return Infinity
  }

  seal(): void {
    this.#isSealed = true
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { sink, site } = this.#parts
    const askedAt = site.now()
    const answer = await answerOf(0, () => sink.beat!(signal))
    this.#isUnderWay = false
    this.#hasHadTurn = true
    if (signal.reason instanceof Silence) this.#silences++
    else {
      this.#silences = 0
      site.account.patience.answered(site.now() - askedAt)
    }
    const saysNothing = answer.status === 'retry' && isGivenUp(signal)
    if (!this.#isSealed && !saysNothing) this.#answered(answer, site.now(), askedAt)
    site.account.end()
  }

  #answered(answer: Answer, now: number, askedAt: number): void {
    const { site, ledger, trouble, health } = this.#parts
    switch (answer.status) {
      case 'accepted':
      case 'partial':
        trouble.recovered(now, askedAt)
        site.account.turnstile.rest(answer.restMs, now)
        if (answer.state !== undefined) ledger.setState(answer.state)
        return
      case 'retry':
        trouble.retry(answer, now)
        break
      case 'blocked':
        trouble.blocked(answer, now)
        break
      case 'split':
        // there is nothing that could be split
        trouble.block(codeOf(answer.code), answer.reason, PROBE_MS, now)
        break
      case 'bug':
        health.notice('ERR_SINK_BUG', `the sink of ${site.name} is at fault: ${answer.reason}`)
        return
    }
    this.#heartbeat.owe()
  }
}
