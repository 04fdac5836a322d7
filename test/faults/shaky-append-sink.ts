/**
 * The append fake on a disk that fails now and then, for processes that are killed. How often is said by a file of
 * its folder, so that whoever plays the round can change it; each fault leaves a byte in another.
 */
import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SinkContext } from '../../src/core/types.ts'
import type { SinkDefinition } from '../../src/sinks/contract.ts'
import { Random } from '../random.ts'
import { defineAppendSink, type WriteAt } from '../sinks/fakes/append-sink.ts'

const FAULTS = ['before', 'full', 'short', 'after', 'slow'] as const
const FULL_BYTES = 7
const SLOW_MS = 40

/** JSON: the share of writes that fail, and a seed. Not there: none fails. */
export function stormFile(folder: string): string {
  return join(folder, 'storm.json')
}
/** How many writes have failed so far. */
export function appendFaults(folder: string): number {
  return statSync(faultsFile(folder), { throwIfNoEntry: false })?.size ?? 0
}
function faultsFile(folder: string): string {
  return join(folder, 'faults')
}

function shaky(folder: string): WriteAt {
  let random: Random | undefined
  return async (file, bytes, position) => {
    const storm = stormOf(folder)
    random ??= storm && new Random(storm.seed)
    const plain = async (count: number) => (await file.write(bytes, 0, count, position)).bytesWritten
    if (storm === undefined || random!.next() >= storm.share) return plain(bytes.length)
    appendFileSync(faultsFile(folder), '.')
    return fail(random!.pick(FAULTS), bytes, plain)
  }
}

async function fail(
  fault: (typeof FAULTS)[number],
  bytes: Buffer,
  plain: (count: number) => Promise<number>,
): Promise<number> {
  switch (fault) {
    case 'before':
      throw new Error('EIO: i/o error')
    case 'full':
      await plain(Math.min(FULL_BYTES, bytes.length))
      throw new Error('ENOSPC: no space left on device')
    case 'short':
      return plain(bytes.length >> 1)
    case 'after':
      await plain(bytes.length)
      throw new Error('EINTR: interrupted')
    case 'slow': {
      const written = await plain(bytes.length)
      await sleep(SLOW_MS)
      return written
    }
  }
}

function stormOf(folder: string): { readonly share: number; readonly seed: number } | undefined {
  try {
    return JSON.parse(readFileSync(stormFile(folder), 'utf8'))
  } catch {
    return undefined
  }
}

const definition = defineAppendSink(() => {
  throw new Error('made without a folder')
})
const sink: SinkDefinition = {
  ...definition,
  create: (context: SinkContext<never>) =>
    defineAppendSink(shaky((context.options as { readonly folder: string }).folder)).create(context),
}
export default sink
