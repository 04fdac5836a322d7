/** How long a batch takes at a real Aim server, by its size: the sink alone. */

import { resolveOptions } from '../src/core/options.ts'
import type { Batch, RunInfo } from '../src/core/types.ts'
import { AIM_OPTIONS } from '../src/sinks/aim/options.ts'
import { aim } from '../src/sinks/aim/sink.ts'
import type { AimServer } from '../test/peers/aim-server.ts'
import type { Bench } from './harness.ts'
import { median } from './statistics.ts'

const KEYS = 10

export async function acknowledged(bench: Bench, server: AimServer): Promise<void> {
  for (const points of [1, 10, 100, 1_000, 10_000]) {
    const rows = Math.max(1, points / KEYS)
    const taken = await deliver(
      server,
      `size-${points}`,
      rows,
      Math.min(KEYS, points),
      points < 100 ? 300 : 12,
    )
    const found = bench.samples(
      'from write() to the acknowledgement',
      `${points} points`,
      'ms a point',
      taken,
    )
    bench.goal(`a point of a batch of ${points}`, found.median, { atMost: 2 }, 'ms')
    if (points >= 1_000)
      bench.goal(`a point of a batch of ${points}, full`, median(taken), { atMost: 0.33 }, 'ms')
  }
}

/** @returns ms a point of each batch */
async function deliver(server: AimServer, nonce: string, rows: number, keys: number, batches: number) {
  const run = { ...RUN, id: nonce, name: nonce, nonce }
  const options = resolveOptions(AIM_OPTIONS, { repo: server.address }, {}, 'bench')
  const sink = aim.create({ run, options, notice: () => {} })
  const signal = AbortSignal.timeout(120_000)
  const opened = await sink.open(undefined, signal)
  if (opened.status !== 'ready') throw new Error(opened.reason)
  const taken: number[] = []
  for (let batch = 0; batch <= batches; batch++) {
    const began = performance.now()
    const answer = await sink.write(batchOf(batch * rows, rows, keys), signal)
    if (answer.status !== 'accepted') throw new Error(JSON.stringify(answer))
    // the first one makes the series
    if (batch > 0) taken.push((performance.now() - began) / (rows * keys))
  }
  await sink.close()
  return taken
}

function batchOf(firstStep: number, rows: number, keys: number): Batch {
  const length = rows * keys
  const at = Array.from({ length }, (_, i) => i)
  return {
    length,
    seq: 0,
    series: Uint32Array.from(at, (i) => i % keys),
    step: Float64Array.from(at, (i) => firstStep + Math.floor(i / keys)),
    time: new Float64Array(length).fill(1_700_000_000_000),
    value: Float64Array.from(at, (i) => i / 7),
    rows: Uint32Array.from({ length: rows + 1 }, (_, row) => row * keys),
    describe: (id) => ({ id, name: `m${id}`, context: '' }),
  }
}

const RUN: RunInfo = {
  id: '',
  name: '',
  project: 'bench',
  experiment: 'bench',
  createdAt: 1_700_000_000_000,
  nonce: '',
  folder: '/nowhere',
}
