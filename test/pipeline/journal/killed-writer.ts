/** Appends points whose value is their sequence number, says how far it got, and is killed: argv folder, commits. */
import { writeSync } from 'node:fs'
import { Scribe } from './scribe.ts'

const [folder, commits] = process.argv.slice(2)
const scribe = new Scribe(folder!, { segmentBytes: 20_000, nonce: String(process.pid) })
for (let i = 0; i < Number(commits); i++) {
  const from = scribe.writer.seq
  scribe.points(
    Array.from({ length: 1 + (i % 50) }, (_, k) => ({ name: 'a', step: from + k, value: from + k })),
  )
  scribe.commit()
  writeSync(1, `${scribe.writer.seq}\n`)
}
scribe.points([{ name: 'a', step: 0, value: -1 }])
process.kill(process.pid, 'SIGKILL')
