/** `program.js <options as JSON>`: sends `{ url }` when it listens, answers its parent's messages, ends with it. */
import type { Message, StandInCounts } from './process.ts'
import { type StandInOptions, WandbStandIn } from './stand-in.ts'

function countsOf(standIn: WandbStandIn): StandInCounts {
  const { user, system } = process.cpuUsage()
  return {
    runs: [...standIn.runs.values()].map((run) => ({
      path: run.path,
      state: run.state,
      exitCode: run.exitCode,
      historyLines: run.historyFile.count,
      historyBytes: run.historyFile.bytes,
      overlapSame: run.historyFile.overlapSame,
      eventLines: run.eventsFile.count,
      outputLines: run.outputFile.count,
      requests: run.requests,
      heartbeats: run.heartbeats.length,
      problems: run.problems,
    })),
    problems: standIn.problems,
    violations: standIn.quotas.violations,
    faults: standIn.faults.count,
    cpuMs: (user + system) / 1000,
  }
}

async function serve(): Promise<void> {
  const standIn = await WandbStandIn.start(JSON.parse(process.argv[2]!) as StandInOptions)
  process.on('message', (message: Message) => {
    let answer: unknown
    if (message.ask === 'counts') answer = countsOf(standIn)
    else if (message.ask === 'lines') answer = standIn.runs.get(message.path)?.history ?? []
    else if (message.ask === 'delay') standIn.delayMs = message.delayMs
    else if (message.ask === 'fault') standIn.failNext(message.fault)
    else standIn.planFaults(message.plan)
    process.send!({ answer })
  })
  process.on('disconnect', () => void standIn.stop())
  process.send!({ url: standIn.url })
}

await serve()
