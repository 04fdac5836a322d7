import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Client } from './client.ts'
import { StandInProcess } from './process.ts'
import { readBody, skimBody } from './stream-body.ts'

const AWKWARD = [
  '{"a":["x","y"]}',
  '{"b":"\\\\","c":"\\"],\\",\\""}',
  '{"d":[["z"]],"e":"ü"}',
  '""',
  'ends with a backslash \\',
  '{"f":"\\\\\\\\"}',
]

describe('the stand-in in a process of its own, light', () => {
  let standIn: StandInProcess
  let client: Client
  before(async () => {
    standIn = await StandInProcess.start({ isLight: true })
    client = new Client(standIn)
    await client.upsert()
  })
  after(() => standIn.stop())

  it('counts lines without reading them, with gaps and overlaps', async () => {
    for (const offset of [0, 3]) {
      await client.stream({
        files: {
          'wandb-events.jsonl': { offset: 0, content: ['{"system.cpu":["a"]}'] },
          'wandb-history.jsonl': { offset, content: AWKWARD },
          'output.log': { offset: 0, content: ['"wandb-history.jsonl":{"offset":7,"content":["a"]}'] },
          'wandb-summary.json': { offset: 0, content: ['{"x":NaN}'] },
        },
      })
    }
    await client.stream({ files: { 'wandb-history.jsonl': { offset: 10, content: ['{}'] } } })
    await client.stream({ complete: true, exitcode: 1 })
    const { runs, problems, violations, cpuMs } = await standIn.counts()
    const [{ path, state, historyLines, eventLines, outputLines, overlapSame, requests }, ...others] =
      runs as [(typeof runs)[0]]
    assert.deepEqual(
      { path, state, historyLines, eventLines, outputLines, overlapSame, requests },
      {
        path: 'stander/lab/one',
        state: 'failed',
        historyLines: 9,
        eventLines: 1,
        outputLines: 1,
        overlapSame: 3,
        requests: 4,
      },
    )
    assert.deepEqual(runs[0]!.problems, [
      'wandb-history.jsonl: a gap, 1 lines at offset 10 where line 9 is next',
    ])
    assert.deepEqual([others, problems, violations.run], [[], [], 0])
    assert.ok(cpuMs > 0)
  })

  it('meets faults and takes its time as it is told', async () => {
    await standIn.failNext({ kind: 'answer', status: 503 })
    assert.equal((await client.stream({})).status, 503)
    await standIn.planFaults({ seed: 1, share: 1, faults: [{ kind: 'answer', status: 500 }], count: 1 })
    assert.equal((await client.stream({})).status, 500)
    await standIn.setDelay(60)
    const began = performance.now()
    assert.equal((await client.stream({})).status, 200)
    assert.ok(performance.now() - began >= 58)
    assert.equal((await standIn.counts()).faults, 2)
  })
})

describe('a body that is skimmed', () => {
  it('has as many lines as one that is read, in any order of the files and in any form', () => {
    const history = { offset: 4, content: AWKWARD }
    const events = { offset: 0, content: AWKWARD.slice(0, -1) }
    for (const body of [
      {
        files: { 'wandb-history.jsonl': history, 'wandb-events.jsonl': events },
        complete: true,
        exitcode: 0,
      },
      { files: { 'wandb-events.jsonl': events, 'wandb-history.jsonl': history }, uploaded: ['a","b'] },
      { files: { 'wandb-history.jsonl': { content: AWKWARD, offset: 4 } } },
      { files: { 'wandb-history.jsonl': { offset: 4, content: [] } }, preempting: true },
      { files: { 'wandb-summary.json': { offset: 0, content: AWKWARD.slice(0, 1) } } },
      {},
    ]) {
      for (const text of [JSON.stringify(body), JSON.stringify(body, null, 1)]) {
        const [skimmed, read] = [skimBody(Buffer.from(text)), readBody(text)]
        const counts = ({ files }: typeof read) =>
          files.map(({ name, offset, lines }) => [name, offset, lines]).sort()
        assert.deepEqual(counts(skimmed), counts(read), text)
        assert.deepEqual({ ...skimmed, files: [] }, { ...read, files: [] }, text)
      }
    }
  })
})
