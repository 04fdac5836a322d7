/** What destinations refused, as the dead letters of a run say. */
import { readDeadLetters } from '../pipeline/store/dead-letters.ts'

/** Items that a destination refused for the same reason. */
export interface Refusal {
  readonly destination: string
  readonly code: string
  readonly reason: string
  readonly count: number
}

/** Of so many reasons that differ in a name or a number only the first are told apart. */
const MAX_REASONS = 20

export function refusalsOf(folder: string): Refusal[] {
  const found = new Map<string, { destination: string; code: string; reason: string; count: number }>()
  for (const { destination, code, reason } of readDeadLetters(folder)) {
    let key = `${destination} ${code} ${reason}`
    if (!found.has(key) && found.size >= MAX_REASONS) key = `${destination} ${code}`
    const known = found.get(key)
    if (known !== undefined) known.count++
    else found.set(key, { destination, code, reason, count: 1 })
  }
  return [...found.values()]
}
