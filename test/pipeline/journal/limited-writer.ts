/** Writes under a limit of the file size; what it says goes to the test. argv: folder. */
import { writeSync } from 'node:fs'
import { Scribe } from './scribe.ts'

// Without a listener the signal ends the process before the write can say EFBIG.
process.on('SIGXFSZ', () => {})
const scribe = new Scribe(process.argv[2]!)
let failures = 0
let lost = 0
for (let i = 0; i < 60; i++) {
  const count = 3 + (i % 90)
  scribe.points(Array.from({ length: count }, (_, k) => ({ name: 'a', step: i, value: i * 100 + k })))
  try {
    scribe.commit()
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_JOURNAL_WRITE') throw error
    failures++
    lost += count
  }
}
scribe.writer.close()
writeSync(1, JSON.stringify({ failures, lost, committed: scribe.writer.seq }))
