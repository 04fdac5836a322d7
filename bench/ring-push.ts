/** What does a call cost the loop that makes it? */
import { startLogging } from '../src/index.ts'
import type { Bench, Question } from './harness.ts'
import { checkJournal } from './journal-check.ts'
import { paced } from './pace.ts'
import { laneAlone } from './ring-push-lane.ts'
import { startPeers } from './ring-push-peers.ts'
import { BURST, burstOf, Subject } from './ring-push-subject.ts'
import { interleave, median, quantile } from './statistics.ts'

export const ringPush: Question = {
  name: 'ring-push',
  title: 'What a call costs the loop that makes it',
  method: [
    `Bursts of ${BURST} calls into a live run (drain thread taking, coalescing and journaling meanwhile), interleaved with bursts of the same loop without the call; a cost is the difference of the medians.`,
    'Between rounds the main thread spins, as a training loop would compute, for so long that a million points a second are logged. A second table has the ring keep a backlog, so that the drain thread never pauses.',
    'Paced calls are timed one by one with `performance.now()`, whose own cost is in every figure: compare with the control loop, which makes no call.',
    'Each peer has a reader thread that drops what it is given; thread-stream and postMessage take part with fewer samples.',
    'Every point logged is read back from the journal afterwards and compared.',
  ],
  bounds: [
    'A handle call is five stores, the load of the clock cell, a count and a few compares; one `Atomics.store` (7–9 ns: a call from JavaScript, never inlined) is shared by 32 points.',
    'With the drain thread reading behind, every slot line crosses between two cores: the difference between the lane alone and the live run. Where two cores are two hyperthreads of one, a drain thread without pause also takes half of the loop, calls or not: compare the loops without a call.',
    'A row of ten keys adds building the object (in the control loop too), a walk over its keys compared with those of the last row by identity, and one publication.',
    'Most of the tail of paced calls is the machine’s: compare with that of the control loop, which only reads the clock.',
  ],
  async run(bench) {
    await laneAlone(bench)
    const folder = bench.temporaryFolder()
    const run = startLogging({ backend: 'local', dir: folder, project: 'bench', expName: 'ring-push' })
    const subject = new Subject(run)
    const peers = await startPeers()
    try {
      const bursts = await interleave(
        [...subject.cases(), ...peers.slice(0, 2).map((peer) => burstOf(peer.name, peer.burst))],
        bench.either(40, 1000),
        (round) => subject.compute(round),
      )
      report(bench, bursts)
      const backlog = await interleave(subject.cases(), bench.either(40, 500), (round) =>
        subject.settle(round),
      )
      for (const [name, samples] of backlog)
        bench.samples('in bursts, drain thread without pause', name, 'ns', samples)
      const beside = await interleave(
        [subject.handleCase(), ...peers.map((peer) => burstOf(peer.name, peer.burst))],
        bench.either(5, 100),
        () => subject.compute(0),
      )
      for (const [name, samples] of beside) bench.samples('beside others: ns a call', name, 'ns', samples)
      await pacedCalls(bench, subject, peers)
    } finally {
      for (const peer of peers) await peer.close()
    }
    await run.flush()
    const stats = await run.finish()
    checkJournal(bench, 'every call', run.info.folder, subject.logged(), stats)
  },
}

function report(bench: Bench, bursts: ReadonlyMap<string, number[]>): void {
  for (const [name, samples] of bursts) bench.samples('in bursts, 1 M points/s', name, 'ns', samples)
  const of = (name: string) => median(bursts.get(name)!)
  const control = of('loop without a call')
  bench.goal('bound handle, a call', of('bound handle') - control, { atMost: 15 }, 'ns')
  bench.goal(
    'log() of 10 keys, a call',
    of('log() of 10 keys') - of('object of 10 keys without log()'),
    { atMost: 250 },
    'ns',
  )
}

async function pacedCalls(
  bench: Bench,
  subject: Subject,
  peers: readonly { readonly name: string; readonly call: (step: number) => void }[],
): Promise<void> {
  const calls = bench.either(20_000, 200_000)
  const shares = { p50: 0.5, p99: 0.99, 'p99.9': 0.999, 'p99.99': 0.9999 }
  const figures = new Map<string, number[]>()
  let sink = 0
  const subjects = [
    { name: 'bound handle', call: () => subject.call() },
    {
      name: 'control loop',
      call: (i: number) => {
        sink += i
      },
    },
    ...peers,
  ]
  for (let round = 0; round < bench.either(2, 10); round++) {
    for (const { name, call } of subjects) {
      const sorted = paced(call, calls, 1e6)
      for (const [share, at] of Object.entries(shares)) {
        const key = `${name}, ${share}`
        figures.set(key, [...(figures.get(key) ?? []), quantile(sorted, at)])
      }
      await subject.settle(0)
    }
  }
  if (!Number.isFinite(sink)) throw new Error('the control loop computes a number')
  for (const [name, samples] of figures) bench.samples('paced at 1 M calls/s', name, 'ns', samples)
  const control = median(figures.get('control loop, p99.9')!)
  bench.goal(
    'bound handle paced at 1 M/s, p99.9',
    median(figures.get('bound handle, p99.9')!),
    { atMost: Math.max(1000, 3 * control) },
    'ns',
  )
}
