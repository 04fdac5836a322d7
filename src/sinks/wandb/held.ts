/** What was accepted and goes with a later request: values that wait for the row of their step, and console lines. */
import type { WallMs } from '../../core/types.ts'
import type { HeldEntries, HeldState } from './state.ts'

export type Entry = readonly [key: string, json: string]

export const NOTHING_HELD: HeldState = { entries: [], output: [] }
/** Half of what a cursor's state may be, which holds the summary's, too. */
const MAX_HELD_BYTES = 32 * 1024

export function isEmpty({ entries, output }: HeldState): boolean {
  return entries.length === 0 && output.length === 0
}

/**
 * It must go at once: the cursor's state is no place for so much. Groups that are kept apart count as one, as they did
 * when the same records came first.
 */
export function isTooMuch({ entries, output }: HeldState): boolean {
  const held = { entries: together(entries), output }
  return Buffer.byteLength(JSON.stringify(held)) > MAX_HELD_BYTES
}

/** Of two values of one key and step the later counts. */
export function holdEntries(
  { entries, output }: HeldState,
  step: number,
  time: WallMs,
  values: readonly Entry[],
): HeldState {
  const group = entries.find((one) => one.step === step && !one.isSealed)
  if (group === undefined) return { entries: [...entries, { step, time, values }], output }
  const merged = { ...group, values: [...new Map([...group.values, ...values])] }
  return { entries: entries.map((one) => (one === group ? merged : one)), output }
}

export function holdOutput({ entries, output }: HeldState, lines: readonly string[]): HeldState {
  return { entries, output: [...output, ...lines] }
}

/** What is held waits for no row any more. */
export function seal({ entries, output }: HeldState): HeldState {
  return { entries: together(entries).map((group) => ({ ...group, isSealed: true })), output }
}

/** One group for each step of those that still wait for its row. */
export function together(entries: readonly HeldEntries[]): readonly HeldEntries[] {
  const waiting = entries.filter(({ isSealed }) => !isSealed)
  if (new Set(waiting.map(({ step }) => step)).size === waiting.length) return entries
  const sealed = entries.filter(({ isSealed }) => isSealed)
  return waiting.reduce((held, { step, time, values }) => holdEntries(held, step, time, values), {
    entries: sealed,
    output: [],
  } as HeldState).entries
}
