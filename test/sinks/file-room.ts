/**
 * The faults of sinks that write a file per run are those of the file system: the process's limit on file sizes,
 * lowered while one write is under way, makes the kernel refuse bytes or take a part of them; or the file is gone.
 */
import { execFileSync } from 'node:child_process'
import { statSync, unlinkSync } from 'node:fs'
import type { RunInfo, Sink } from '../../src/core/types.ts'
import type { SinkDefinition } from '../../src/sinks/contract.ts'
import type { Fault } from './harness.ts'

/** How many bytes of the next write still fit. */
const ROOM_BYTES: Partial<Record<Fault, number>> = { cut: 0, falseSuccess: 5, full: 40 }

export const FILE_FAULTS: readonly Fault[] = ['cut', 'falseSuccess', 'full', 'gone']

export interface FileRoom {
  /** Of sinks that meet what `failNext` plans. */
  readonly definition: SinkDefinition
  failNext(fault: Fault, run: RunInfo): void
}

/** @param pathOf the file of a run */
export function fileRoom(real: SinkDefinition, pathOf: (run: RunInfo) => string): FileRoom {
  /** Run → size its file may have during the next write. */
  const limits = new Map<string, number>()
  const limited = (sink: Sink, { id }: RunInfo): Sink => ({
    open: (state, signal) => sink.open(state, signal),
    write: async (batch, signal) => {
      const limit = limits.get(id)
      if (limit === undefined) return sink.write(batch, signal)
      limits.delete(id)
      limitFileSize(limit)
      try {
        return await sink.write(batch, signal)
      } finally {
        limitFileSize('unlimited')
      }
    },
    writeRecord: (record, seq, signal) => sink.writeRecord(record, seq, signal),
    close: () => sink.close(),
  })
  return {
    definition: { ...real, create: (context) => limited(real.create(context), context.run) },
    failNext(fault, run) {
      const path = pathOf(run)
      if (fault === 'gone') unlinkSync(path)
      else limits.set(run.id, statSync(path).size + ROOM_BYTES[fault]!)
    },
  }
}

function limitFileSize(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`])
}
