/** Logs rows to an Aim server until it is killed. argv: root folder, address. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'

const [dir, repo] = process.argv[2]!.split('\n') as [string, string]
const run = startLogging({ dir, runId: 'r', backend: { aim: { repo } }, onIssue: () => {} })
process.stdout.write('logging\n')
for (let row = 0; ; row++) {
  run.log({ a: Math.sin(row), b: row })
  if (row % 5 === 0) await sleep(5)
}
