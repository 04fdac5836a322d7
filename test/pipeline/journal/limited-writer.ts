/**
 * Writes under a limit of the file size; what it says goes to the test. argv: folder, and 'stays full' to end without
 * a word after an append that failed.
 */
import { writeSync } from 'node:fs'
import { Scribe } from './scribe.ts'

// Without a listener the signal ends the process before the write can say EFBIG.
process.on('SIGXFSZ', () => {})
const [folder, end] = process.argv.slice(2)
const scribe = new Scribe(folder!)
let failures = 0
let lost = 0
let commits = 0

function log(): boolean {
  const i = commits++
  const count = 3 + (i % 90)
  // several frames: of an append that fails the first of them may be whole
  for (let k = 0; k < count; k += 3) {
    const points = Array.from({ length: Math.min(3, count - k) }, (_, j) => i * 100 + k + j)
    scribe.points(points.map((value) => ({ name: 'a', step: i, value })))
  }
  try {
    scribe.commit()
    return true
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_JOURNAL_WRITE') throw error
    failures++
    lost += count
    return false
  }
}

while (commits < 60) log()
if (end === 'stays full') {
  while (log());
} else scribe.writer.close()
writeSync(1, JSON.stringify({ failures, lost, committed: scribe.writer.seq }))
