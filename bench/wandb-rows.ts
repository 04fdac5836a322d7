/** The rows that tracelet and wandb-core both deliver; test/peers/write_wandb_offline.py states them, too. */
export const ROW_KEYS: readonly string[] = Array.from({ length: 10 }, (_, i) => `train/metric ${i}`)

const MULTIPLIER = 2654435761
const RANGE = 0x1_0000_0000

/** Of key `i` at a step: 32 bits that look like chance, as a share of their range. */
export function rowValue(step: number, i: number): number {
  return (Math.imul(step * ROW_KEYS.length + i, MULTIPLIER) >>> 0) / RANGE
}

export function rowAt(step: number): Record<string, number> {
  const row: Record<string, number> = {}
  for (let i = 0; i < ROW_KEYS.length; i++) row[ROW_KEYS[i]!] = rowValue(step, i)
  return row
}
