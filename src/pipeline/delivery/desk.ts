/** Makes deliveries of orders: loads sinks, and joins what the runs of one thread share. */
import { monotonicNow } from '../../core/clock.ts'
import { destinationCounters, RUN, runCounters } from '../../core/counters.ts'
import { toErrorRecord } from '../../core/errors.ts'
import { type Environment, resolveOptions } from '../../core/options.ts'
import type { SinkDefinition } from '../../sinks/contract.ts'
import { findSink } from '../../sinks/index.ts'
import { openJournal } from '../journal/reader.ts'
import type { DeliveryOrder, DestinationSpec, FromDelivery } from '../messages.ts'
import { CursorStore } from '../store/cursor.ts'
import { appendDeadLetters } from '../store/dead-letters.ts'
import { takeGuard } from '../store/guard.ts'
import { Delivery } from './deliver.ts'
import { Account } from './limiter.ts'
import { loadSinkModule } from './load-sink.ts'
import { InJournal, Unusable } from './other-destinations.ts'
import { Scheduler } from './scheduler.ts'
import { Slots } from './slots.ts'

const ACCOUNT_WRITES_PER_RUN = 4
const SLOT_LOOK_MS = 250

export interface DeskOptions {
  readonly tell: (message: FromDelivery) => void
  /** Shared count of threads that want a 'wake'. */
  readonly idle?: Int32Array
  readonly environment: Environment
  /** True once another drain thread has taken over in this process. */
  readonly isSuperseded?: () => boolean
  /** This thread succeeds one that has ended and may have left its guards. */
  readonly isSuccessor?: boolean
}

export class Desk {
  readonly scheduler: Scheduler
  readonly #options: DeskOptions
  readonly #accounts = new Map<string, { account: Account; slots: Slots<Delivery> }>()

  constructor(options: DeskOptions) {
    this.#options = options
    this.scheduler = new Scheduler(options.idle)
    this.scheduler.eachRound((now) => this.#makeRoom(now))
  }

  /** Never rejects: a destination that cannot be served is told of. */
  async open(order: DeliveryOrder): Promise<void> {
    // A run that was finished in this process may be resumed in it.
    this.scheduler.forget(order.run.id)
    await Promise.all(order.destinations.map((spec) => this.#openDestination(order, spec)))
  }

  async #openDestination(order: DeliveryOrder, spec: DestinationSpec): Promise<void> {
    const block = destinationCounters(order.counters, spec.index)
    const live = order.live ? runCounters(order.counters) : undefined
    const { run } = order
    const { tell } = this.#options
    try {
      const definition =
        spec.module === undefined ? findSink(spec.kind) : await loadSinkModule(spec.module, spec.kind)
      if (definition.inJournal)
        this.scheduler.add(new InJournal(run.id, spec.name, runCounters(order.counters), block, tell))
      else this.scheduler.add(this.#delivery(order, spec, definition, live, block))
    } catch (error) {
      const issue = toErrorRecord(error, 'ERR_BACKEND_UNKNOWN')
      this.scheduler.add(new Unusable(run.id, spec.name, block, issue, tell))
    }
  }

  #delivery(
    order: DeliveryOrder,
    spec: DestinationSpec,
    definition: SinkDefinition,
    live: Float64Array | undefined,
    block: Float64Array,
  ): Delivery {
    const { run } = order
    const { name } = spec
    const { environment, tell, isSuperseded, isSuccessor } = this.#options
    // Resolved ones stay as they are; those for a module could not be resolved before it was loaded.
    const resolved = resolveOptions(definition.options, spec.options, environment, `backend ${name}`)
    const options = definition.prepare?.(resolved as never) ?? resolved
    const { account, slots } = this.#account(definition, options)
    const journal = runCounters(order.counters)
    const delivery: Delivery = new Delivery({
      run,
      name,
      definition,
      options,
      address: definition.address(options as never, run),
      live,
      journalSeq: () => journal[RUN.seq]!,
      block,
      account,
      cursors: new CursorStore(run.folder, name, (issue) =>
        tell({ type: 'issue', run: run.id, destination: name, severity: 'notice', issue }),
      ),
      openReader: (fromSeq) =>
        openJournal(run.folder, {
          fromSeq,
          live: live !== undefined,
          ...(live !== undefined && { limitSeq: () => live[RUN.seq]! }),
        }),
      takeGuard: () => takeGuard(run.folder, `deliver-${name}`, { replaceOwn: isSuccessor ?? false }),
      appendLetters: (letters) => appendDeadLetters(run.folder, letters),
      takeSlot: (holder, now) => slots.take(holder, now),
      giveSlot: (holder) => {
        slots.give(holder)
        for (const next of slots.next()) this.scheduler.wake(next)
      },
      isSuperseded: () => isSuperseded?.() ?? false,
      wake: (woken) => this.scheduler.wake(woken),
      tell,
      now: monotonicNow,
      wallNow: Date.now,
      random: Math.random,
    })
    return delivery
  }

  #account(
    definition: SinkDefinition,
    options: Readonly<Record<string, unknown>>,
  ): { account: Account; slots: Slots<Delivery> } {
    const key = `${definition.kind} ${definition.account(options as never)}`
    let shared = this.#accounts.get(key)
    if (shared === undefined) {
      const { inFlight, accountInFlight = ACCOUNT_WRITES_PER_RUN * inFlight } = definition.limits
      shared = { account: new Account(accountInFlight), slots: new Slots() }
      this.#accounts.set(key, shared)
    }
    return shared
  }

  /** Runs that wait for a place get one when others have had their time. */
  #makeRoom(now: number): number {
    let latest = Infinity
    for (const { slots } of this.#accounts.values()) {
      if (!slots.hasWaiting) continue
      slots.makeRoom(now)
      for (const next of slots.next()) this.scheduler.wake(next)
      latest = now + SLOT_LOOK_MS
    }
    return latest
  }
}
