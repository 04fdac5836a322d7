/** A stand-in for W&B's server in a process of its own: `wandb-server.ts` starts it and asks it. */
import { WandbStandIn } from '../test/sinks/wandb/stand-in/stand-in.ts'
import type { FromServer, RunSeen, ToServer } from './wandb-server.ts'

const tell = (message: FromServer) => process.send!(message)
const server = await WandbStandIn.start(JSON.parse(process.argv[2]!))
tell({ url: server.url })

process.on('message', (message: ToServer) => {
  if ('delayMs' in message) server.delayMs = message.delayMs
  if ('forget' in message) server.runs.clear()
  if ('see' in message) tell({ runs: seen(message.see), problems: server.allProblems })
  else if ('rows' in message) tell({ rows: server.runs.get(message.rows)?.rows() ?? [] })
  else if ('quotas' in message) tell({ violations: server.quotas.violations })
  else tell({})
})
process.on('disconnect', () => process.exit())

function seen(path: string): RunSeen[] {
  const runs =
    path === '' ? [...server.runs.values()] : [server.runs.get(path)].filter((run) => run !== undefined)
  return runs.map(({ path, createdAt, historyFile, state, requests, heartbeats, lastSeenMs, problems }) => ({
    path,
    createdAtMs: createdAt.getTime(),
    lines: historyFile.count,
    again: historyFile.overlapSame + historyFile.overlapDiffering,
    bytes: historyFile.bytes,
    growth: historyFile.growth,
    state,
    requests,
    heartbeats: heartbeats.length,
    silentMs: Date.now() - lastSeenMs,
    problems: problems.length,
  }))
}
