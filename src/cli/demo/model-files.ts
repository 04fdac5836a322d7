/** The trained network as files: its shape as JSON, its numbers as one array of float64. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Network } from './network.ts'

export const MODEL_FILES = { shape: 'network.json', weights: 'weights.f64' } as const

/** @returns a folder of its own, which the caller removes */
export function writeModel(network: Network): string {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-demo-model-'))
  const layers = network.layers.map(({ inputs, outputs }) => ({ inputs, outputs }))
  writeFileSync(
    join(folder, MODEL_FILES.shape),
    `${JSON.stringify({ layers, activation: 'relu', order: 'weights by output, then biases' }, null, 2)}\n`,
  )
  const parts = network.layers.flatMap(({ weights, biases }) => [weights, biases])
  const bytes = Buffer.concat(
    parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
  )
  writeFileSync(join(folder, MODEL_FILES.weights), bytes)
  return folder
}
