/** What does delivery to W&B cost, and how soon is a point there? */
import { preparePython } from '../test/peers/python.ts'
import type { Question } from './harness.ts'
import { freshness, ownCost, steadyCalls } from './wandb-latency.ts'
import { agree, rates } from './wandb-rates.ts'
import { WandbServer } from './wandb-server.ts'

const ROUND_TRIP_MS = 50

export const wandb: Question = {
  name: 'wandb',
  title: 'What delivery to W&B costs, and how soon a point is there',
  method: [
    'The server is the stand-in of the tests, in a process of its own, which counts lines and keeps none. Rows have ten metrics.',
    'Rates: the real wandb-core (`wandb sync` of a run that the SDK has written offline) and tracelet (what `tracelet sync --to wandb` does, at its default pace, of a journal) deliver the same rows in turns, each time to a new run in a new process. The clock runs at the server, from the answer to the creation of the run to the last line of its history. Once, before, the rows of both are compared key by key at a server that keeps them.',
    'From the first line to the last: the lines behind those of the first request, by the time from then on. Where that one brought more than half of all lines there is no figure.',
    'CPU: user and system time of all threads. Ours from the start of the sync to its end; of wandb-core that of its whole process tree, the start of Python included.',
    `Round trip: the stand-in takes ${ROUND_TRIP_MS} ms longer for every request, half of it before the request is seen; \`intervalMs: 0\`.`,
  ],
  bounds: [
    'One request of a run is in flight at a time, 8 MiB at the most, so the time that the server takes for a request is in the rate of both.',
    'Each delivery is a new process: some 0.3 s of CPU go into loading modules and compiling what is hot, which is all there is to see with 10,000 rows and little with 1,000,000. wandb-core is compiled beforehand.',
    'A row is sent when it is complete: with the second step after it, by `flush()`, or after `rowMaxAgeMs`.',
  ],
  async run(bench) {
    const python = bench.quick ? undefined : await preparePython()
    if (python !== undefined) {
      await using(WandbServer.start(), (server) => agree(bench, server, python))
    }
    await using(WandbServer.start({ isLight: true }), async (server) => {
      await rates(bench, server, python)
      await ownCost(bench, server)
      await server.delay(ROUND_TRIP_MS)
      await ownCost(bench, server, ROUND_TRIP_MS)
      await freshness(bench, server, ROUND_TRIP_MS)
      await steadyCalls(bench, server, ROUND_TRIP_MS)
    })
  },
}

async function using(
  starting: Promise<WandbServer>,
  use: (server: WandbServer) => Promise<void>,
): Promise<void> {
  const server = await starting
  try {
    await use(server)
  } finally {
    await server.stop()
  }
}
