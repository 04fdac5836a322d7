/**
 * Chance in the fault suite. A failure prints the seed and the round: TRACELET_FAULT_SEED repeats all of it,
 * TRACELET_FAULT_ROUND with it that one round alone. What is decided is repeated; what the machine's scheduling adds
 * is not.
 */
import { SEED } from '../random.ts'

export const FAULT_SEED = Number(process.env.TRACELET_FAULT_SEED ?? SEED)
/** The one round to play; undefined for as many as are needed. */
export const ONLY_ROUND =
  process.env.TRACELET_FAULT_ROUND === undefined ? undefined : Number(process.env.TRACELET_FAULT_ROUND)
export const isLong = process.env.TRACELET_TEST_LONG === '1'

/** How a failure of a round is repeated. */
export function replay(round: number): string {
  return `TRACELET_FAULT_SEED=${FAULT_SEED} TRACELET_FAULT_ROUND=${round}`
}
