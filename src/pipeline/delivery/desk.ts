/** Makes deliveries of orders: loads sinks, and joins what the runs of one thread share. */
import { monotonicNow } from '../../core/clock.ts'
import { CURSOR_WORDS, destinationCounters, RUN, runCounters } from '../../core/counters.ts'
import { toErrorRecord } from '../../core/errors.ts'
import type { Environment } from '../../core/options.ts'
import type { Cursor, DestinationName, RunId, RunInfo } from '../../core/types.ts'
import { type SinkDefinition, tuned } from '../../sinks/contract.ts'
import { backlogOf } from '../destination-stats.ts'
import { type OpenJournalOptions, openJournal, openRecords } from '../journal/reader.ts'
import { readRewinds } from '../journal/rewinds.ts'
import type { DeliveryOrder, DestinationSpec, FromDelivery } from '../messages.ts'
import { CursorStore, uploadsName } from '../store/cursor.ts'
import { appendDeadLetters, type DeadLetter } from '../store/dead-letters.ts'
import { takeGuard } from '../store/guard.ts'
import { Delivery } from './deliver.ts'
import { Ledger } from './ledger.ts'
import { Account } from './limiter.ts'
import { InJournal, Unsent } from './other-destinations.ts'
import { loadDefinition, resolveDestination } from './resolve-destination.ts'
import { RowsCargo } from './rows-cargo.ts'
import { Scheduler } from './scheduler.ts'
import type { DeliverySite } from './site.ts'
import { Slots } from './slots.ts'
import { ToldTogether } from './told-together.ts'
import { Turnstile } from './turnstile.ts'
import { UploadsCargo } from './uploads-cargo.ts'

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
  /** Told where a delivery begins, under its guard: `store` is the destination's name, or `uploadsName` of it. */
  readonly onCursor?: (run: RunId, store: string, cursor: Cursor | undefined) => void
  /** Where cursors, guards and dead letters lie. Default: in the run's folder, which is only read otherwise. */
  readonly booksFolder?: string
}

export class Desk {
  readonly scheduler: Scheduler
  readonly #options: DeskOptions
  readonly #accounts = new Map<string, { account: Account; slots: Slots<Delivery> }>()
  readonly #turnstiles = new Map<string, Turnstile>()

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
    this.scheduler.hasAll(order.run.id)
  }

  async #openDestination(order: DeliveryOrder, spec: DestinationSpec): Promise<void> {
    const block = destinationCounters(order.counters, spec.index)
    const live = order.live ? runCounters(order.counters) : undefined
    const { run } = order
    const { tell } = this.#options
    try {
      const definition = await loadDefinition(spec)
      if (definition.inJournal)
        this.scheduler.add(new InJournal(run.id, spec.name, runCounters(order.counters), block, tell))
      else this.#addDeliveries(order, spec, definition, live, block)
    } catch (error) {
      const issue = toErrorRecord(error, 'ERR_BACKEND_UNKNOWN')
      const { name } = spec
      const parts = { run: run.id, name, block, tell, reason: issue.message }
      this.scheduler.add(new Unsent({ ...parts, state: 'blocked' }))
      tell({ type: 'issue', run: run.id, destination: name, severity: 'blocked', issue })
    }
  }

  #addDeliveries(
    order: DeliveryOrder,
    spec: DestinationSpec,
    loaded: SinkDefinition,
    live: Float64Array | undefined,
    block: Float64Array,
  ): void {
    const { run } = order
    const { name } = spec
    const { environment, isSuperseded, booksFolder = run.folder } = this.#options
    const { options, address } = resolveDestination(spec, loaded, run, environment)
    if (live !== undefined && (loaded.mode?.(options as never) ?? 'online') !== 'online') {
      this.#addUnsent(run, name, address, block)
      return
    }
    const definition = tuned(loaded, options)
    const journal = runCounters(order.counters)
    const common = {
      run,
      name,
      definition,
      options,
      address,
      live,
      journalSeq: () => journal[RUN.seq]!,
      accountName: `${definition.kind} ${definition.account(options as never)}`,
      backlog: () => backlogOf(order.counters, spec.index),
      appendLetters: (letters: readonly DeadLetter[]) => appendDeadLetters(booksFolder, letters),
      isSuperseded: () => isSuperseded?.() ?? false,
      wake: (woken: Delivery) => this.scheduler.wake(woken),
      now: monotonicNow,
      wallNow: Date.now,
      random: Math.random,
    }
    const from = (fromSeq: number, pointsBelow: number | undefined): OpenJournalOptions => ({
      fromSeq,
      runId: run.id,
      ...(pointsBelow !== undefined && { pointsBelow }),
      live: live !== undefined,
      ...(live !== undefined && { limitSeq: () => live[RUN.seq]! }),
    })
    const hasUploads = (definition.capabilities.uploads?.length ?? 0) > 0
    const { tell } = this.#options
    const together = hasUploads ? new ToldTogether(tell) : { half: () => tell }
    const {
      inFlight,
      accountInFlight = ACCOUNT_WRITES_PER_RUN * inFlight,
      uploadsInFlight = 1,
    } = definition.limits
    const tellRows = together.half()
    let uploads: Delivery | undefined
    const wakeUploads = () => {
      if (uploads !== undefined) this.scheduler.wake(uploads)
    }
    const { hasLostCursor, ...keeping } = this.#keeping(run, name, name, tellRows)
    const site: DeliverySite = {
      ...common,
      ...keeping,
      ...this.#sharing(definition, options, '', accountInFlight),
      block: block.subarray(0, CURSOR_WORDS),
      tell: tellRows,
      onLandmark: wakeUploads,
    }
    const openReader = (fromSeq: number, pointsBelow?: number) =>
      openJournal(run.folder, from(fromSeq, pointsBelow))
    const rowsCargo = new RowsCargo({
      site,
      openReader,
      onElsewhere: wakeUploads,
      rewindsAhead: () => (hasLostCursor() ? [] : readRewinds(openRecords(run.folder, from(0, undefined)))),
      uploadsSeq: () => new CursorStore(booksFolder, uploadsName(name), () => {}).load(address)?.seq ?? 0,
    })
    const rows = new Delivery(site, rowsCargo)
    this.scheduler.add(rows)
    if (!hasUploads) return
    const tellUploads = together.half()
    const uploadsSite: DeliverySite = {
      ...common,
      ...this.#keeping(run, name, uploadsName(name), tellUploads),
      ...this.#sharing(definition, options, ' uploads', ACCOUNT_WRITES_PER_RUN * uploadsInFlight),
      block: block.subarray(CURSOR_WORDS),
      tell: tellUploads,
    }
    uploads = new Delivery(
      uploadsSite,
      new UploadsCargo({
        site: uploadsSite,
        journal,
        rowsBlock: site.block,
        rows,
        isUpload: () => rowsCargo.isUpload,
        openRecords: (fromSeq, pointsBelow) => openRecords(run.folder, from(fromSeq, pointsBelow)),
      }),
    )
    this.scheduler.add(uploads)
  }

  #addUnsent(run: RunInfo, name: DestinationName, address: string, block: Float64Array): void {
    const { tell } = this.#options
    const halves = [
      [name, block.subarray(0, CURSOR_WORDS)],
      [uploadsName(name), block.subarray(CURSOR_WORDS)],
    ] as const
    // their sums are published as they are read
    for (const [store, half] of halves)
      new Ledger(this.#keeping(run, name, store, tell).cursors, address, half)
    this.scheduler.add(new Unsent({ run: run.id, name, block, tell, state: 'offline', reason: 'offline' }))
    tell({ type: 'offline', run: run.id, destination: name })
  }

  /** What is kept on disk of one delivery. */
  #keeping(
    run: RunInfo,
    destination: DestinationName,
    name: string,
    tell: (message: FromDelivery) => void,
  ): Pick<DeliverySite, 'cursors' | 'takeGuard'> & { readonly hasLostCursor: () => boolean } {
    const { isSuccessor = false, onCursor, booksFolder = run.folder } = this.#options
    let isDamaged = false
    const store = new CursorStore(booksFolder, name, (issue) => {
      isDamaged = true
      tell({ type: 'issue', run: run.id, destination, severity: 'notice', issue })
    })
    return {
      hasLostCursor: () => isDamaged,
      cursors: {
        load: (address) => {
          const cursor = store.load(address)
          onCursor?.(run.id, name, cursor)
          return cursor
        },
        save: (cursor) => store.save(cursor),
      },
      takeGuard: () => takeGuard(booksFolder, `deliver-${name}`, { replaceOwn: isSuccessor }),
    }
  }

  /**
   * What all runs at one account share, rows and uploads apart: neither uses up the other's requests under way or
   * places. How often requests may begin counts for both.
   */
  #sharing(
    definition: SinkDefinition,
    options: Readonly<Record<string, unknown>>,
    part: string,
    maxInFlight: number,
  ): Pick<DeliverySite, 'account' | 'takeSlot' | 'giveSlot'> {
    const name = definition.account(options as never)
    const key = `${definition.kind}${part} ${name}`
    let shared = this.#accounts.get(key)
    if (shared === undefined) {
      const turnstile = this.#turnstile(`${definition.kind} ${name}`, definition.limits.accountPerSecond)
      shared = { account: new Account(maxInFlight, turnstile), slots: new Slots() }
      this.#accounts.set(key, shared)
    }
    const { account, slots } = shared
    return {
      account,
      takeSlot: (holder, now) => slots.take(holder, now),
      giveSlot: (holder) => {
        slots.give(holder)
        for (const next of slots.next()) this.scheduler.wake(next)
      },
    }
  }

  #turnstile(key: string, perSecond: number | undefined): Turnstile {
    const turnstile = this.#turnstiles.get(key) ?? new Turnstile(perSecond)
    this.#turnstiles.set(key, turnstile)
    return turnstile
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
