/** What a check of the conformance suite is, and what several of them use. */
import assert from 'node:assert/strict'
import type { Batch, WriteResult } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import type { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import type { Bench } from '../bench.ts'
import type { Fault } from '../harness.ts'

export interface Check {
  readonly id: string
  readonly title: string
  /** Absent: every sink. */
  readonly fault?: Fault
  readonly needs?: (bench: Bench) => boolean
  readonly run: (bench: Bench) => Promise<void>
}

export function assertAccepted(answer: WriteResult): void {
  assert.equal(answer.status, 'accepted', JSON.stringify(answer))
}

/** The sink behind a delivery, with a journal in memory and a clock that does not wait. */
export function play(
  bench: Bench,
  journal: MemoryJournal,
  run = bench.run(),
  cursor?: Stage['cursor'],
  uploadsCursor?: Stage['cursor'],
) {
  const real = { definition: bench.harness.definition, options: bench.options, run }
  const cursors = { ...(cursor && { cursor }), ...(uploadsCursor && { uploadsCursor }) }
  return { run, stage: new Stage(journal, { real, isThereFromStart: true, ...cursors }) }
}

/** The sinks of a definition, and what they are asked to write or prepare. */
export function watched(
  definition: SinkDefinition,
  see: { readonly write?: (batch: Batch) => void; readonly prepare?: (batch: Batch) => void },
): SinkDefinition {
  return {
    ...definition,
    create(context) {
      const sink = definition.create(context)
      const write = sink.write.bind(sink)
      sink.write = (batch, signal) => {
        see.write?.(batch)
        return write(batch, signal)
      }
      const prepare = sink.prepare?.bind(sink)
      if (prepare === undefined) return sink
      sink.prepare = (batch) => {
        see.prepare?.(batch)
        prepare(batch)
      }
      return sink
    },
  }
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
