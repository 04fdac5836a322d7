/**
 * A process that takes guards as it is told, line by line on standard input, and answers each line with one:
 * `take <folder> <name> <at>` (spins until that wall time, so that several race), `release`,
 * `contend <folder> <name> <until>`. Words are separated by tabs.
 */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TraceletError } from '../../../src/core/errors.ts'
import { type Guard, type GuardName, takeGuard } from '../../../src/pipeline/store/guard.ts'

let guard: Guard | undefined

for await (const line of createInterface({ input: process.stdin })) {
  const [command, folder = '', name = '', at = '0'] = line.split('\t')
  if (command === 'take') {
    while (Date.now() < Number(at));
    answer(tryToTake(folder, name as GuardName))
  } else if (command === 'release') {
    guard?.release()
    answer('released')
  } else {
    answer(contend(folder, name as GuardName, Number(at)))
  }
}

function answer(text: string): void {
  process.stdout.write(`${text}\n`)
}

function tryToTake(folder: string, name: GuardName): string {
  try {
    guard = takeGuard(folder, name)
    return 'held'
  } catch (error) {
    return (error as TraceletError).code ?? String(error)
  }
}

/** Takes the guard again and again; whoever holds it must be alone. Every other time it is left as by a crash. */
function contend(folder: string, name: GuardName, until: number): string {
  const alone = join(folder, 'alone')
  let held = 0
  let refused = 0
  while (Date.now() < until) {
    const outcome = tryToTake(folder, name)
    if (outcome === 'ERR_RUN_BUSY') {
      refused++
      continue
    }
    if (outcome !== 'held') return `failed: ${outcome}`
    try {
      closeSync(openSync(alone, 'wx'))
    } catch {
      return 'failed: two held the guard at once'
    }
    if (!guard!.touch()) return 'failed: lost the guard while it was held'
    rmSync(alone)
    if (++held % 2 === 0) guard!.release()
    else abandon(guard!.path)
  }
  return `held ${held} refused ${refused}`
}

/** Makes the guard that this process holds look like one of a process that is gone, without checksum. */
function abandon(path: string): void {
  const content = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...content, crc: undefined, startTime: '1' }))
}
