/** A run that the official SDK once sent, rebuilt from its requests and asked for as the official reader asks. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { REQUESTS, RUN } from '../golden.ts'
import { Client } from './client.ts'
import { readConsoleLine } from './reader.ts'
import { type StandInRun, WandbStandIn } from './stand-in.ts'

const [entity, project, name] = RUN.split('/')
const OF_RUN = { entity, project, name }
const inRun = (fields: string) => `query Of($project: String!, $entity: String!, $name: String!) {
  project(name: $project, entityName: $entity) { run(name: $name) { ${fields} } }
}`

describe('a run of the official SDK', () => {
  let standIn: WandbStandIn
  let client: Client
  let run: StandInRun

  before(async () => {
    standIn = await WandbStandIn.start({ defaultEntity: entity!, demandsUploadHeader: false })
    client = new Client(standIn)
    for (const { to, body } of REQUESTS) {
      const { status, body: answer } = await client.post(
        to === 'graphql' ? '/graphql' : `/files/${RUN}/file_stream`,
        body,
      )
      assert.equal(status, 200)
      const { data } = answer as {
        data?: { createRunFiles?: { files: { name: string; uploadUrl: string }[] } }
      }
      for (const { name: file, uploadUrl } of data?.createRunFiles?.files ?? []) {
        await fetch(uploadUrl, { method: 'PUT', body: `bytes of ${file}` })
      }
    }
    run = standIn.runs.get(RUN)!
  })
  after(() => standIn.stop())

  const ask = async <Fields>(fields: string): Promise<Fields> =>
    (await client.ask<{ project: { run: Fields } }>(inRun(fields), OF_RUN)).project.run

  it('is rebuilt without a problem', () => {
    assert.deepEqual(standIn.allProblems, [])
    const { displayName, group, jobType, notes, tags, state, exitCode, config } = run
    assert.deepEqual(
      { displayName, group, jobType, notes, tags, state, exitCode, config },
      {
        displayName: 'lab-online',
        group: 'g1',
        jobType: 'train',
        notes: 'hello',
        tags: ['t1'],
        state: 'finished',
        exitCode: 0,
        config: { lr: 0.001, model: { act: 'gelu', layers: 2 }, tags: ['a', 'b'], late: 1 },
      },
    )
    assert.deepEqual(run.wandb.m, [
      { 1: 'val/loss', 5: 2, 6: [1, 3], 7: [1] },
      { 1: 'epoch', 6: [], 7: [] },
    ])
    assert.deepEqual(run.steps(), [0, 1, 2, 3, 4, 5, 6])
    const { big, nan, inf, ninf, none, list, str, bool, nested } = run.rows()[3]!
    assert.deepEqual(
      { big, nan, inf, ninf, none, list, str, bool, nested },
      {
        big: 2 ** 60,
        nan: Number.NaN,
        inf: Infinity,
        ninf: -Infinity,
        none: null,
        list: [1, 2, 3],
        str: 'text',
        bool: true,
        nested: { a: 3, b: { c: 6 } },
      },
    )
    assert.deepEqual([run.eventRows().length, run.output.length, run.outputFile.rewritten], [1, 3, 1])
    assert.deepEqual(run.summary['val/loss'], { min: 0.0010520778537611783 })
    assert.deepEqual([...run.files.keys()].sort(), run.uploaded.toSorted())
  })

  it('is told by its fields, its keys and its last step', async () => {
    const { historyKeys, ...fields } = await ask<{
      historyKeys: { lastStep: number; keys: Record<string, unknown> }
    }>(
      'id name displayName state config summaryMetrics group jobType tags notes historyLineCount historyKeys user { name }',
    )
    assert.equal(historyKeys.lastStep, 6)
    assert.deepEqual(historyKeys.keys.nan, { typeCounts: [{ type: 'number', count: 1 }] })
    assert.deepEqual(fields, {
      id: run.storageId,
      name,
      displayName: 'lab-online',
      state: 'finished',
      config: run.configText,
      summaryMetrics: run.summaryText,
      group: 'g1',
      jobType: 'train',
      tags: ['t1'],
      notes: 'hello',
      historyLineCount: 7,
      user: { name: entity },
    })
  })

  it('has its rows by pages of steps, as a sample, and as values with words for what JSON lacks', async () => {
    const page = await ask<{ history: string[] }>('history(minStep: 2, maxStep: 4, samples: 2)')
    assert.deepEqual(page.history, run.history.slice(2, 4))
    const sample = await ask<{ history: string[]; events: string[] }>(
      'history(samples: 3) events(samples: 9)',
    )
    assert.deepEqual(sample, { history: [0, 3, 6].map((n) => run.history[n]), events: run.events })
    const sampled = await ask(
      'sampledHistory(specs: ["{\\"keys\\":[\\"_step\\",\\"nan\\"],\\"samples\\":5}"])',
    )
    assert.deepEqual(sampled, { sampledHistory: [[{ _step: 3, nan: 'NaN' }]] })
    const live = await ask('parquetHistory(liveKeys: ["_step"]) { parquetUrls liveData }')
    assert.deepEqual(live, {
      parquetHistory: { parquetUrls: [], liveData: run.steps().map((_step) => ({ _step })) },
    })
  })

  it('has its files, by name and by pattern, in pages, and their bytes', async () => {
    interface Files {
      readonly fileCount: number
      readonly files: {
        readonly edges: { node: { name: string; sizeBytes: string; url: string }; cursor: string }[]
        readonly pageInfo: { hasNextPage: boolean; endCursor: string | null }
      }
    }
    const files = (args: string) =>
      ask<Files>(
        `fileCount files(${args}) { edges { node { name sizeBytes url } cursor } pageInfo { endCursor hasNextPage } }`,
      )
    const first = await files('names: [], first: 1')
    assert.equal(first.fileCount, 2)
    assert.equal(first.files.pageInfo.hasNextPage, true)
    const second = await files(`first: 1, after: "${first.files.pageInfo.endCursor}"`)
    const names = [...first.files.edges, ...second.files.edges].map(({ node }) => node.name)
    assert.deepEqual(
      [names.sort(), second.files.pageInfo.hasNextPage],
      [['config.yaml', 'output.log'], false],
    )
    const [byPattern] = (await files('pattern: "%.log"')).files.edges
    assert.deepEqual((await files('names: ["output.log"]')).files.edges.length, 1)
    assert.equal(byPattern!.node.name, 'output.log')
    assert.equal(await (await fetch(byPattern!.node.url)).text(), 'bytes of output.log')
  })

  it('has its console line by line, of either form', async () => {
    interface Lines {
      readonly logLines: { readonly edges: readonly { node: { number: number; line: string } }[] }
    }
    const { logLines } = await ask<Lines>('logLines(last: 1) { edges { node { number line } } }')
    assert.deepEqual(logLines.edges, [{ node: { number: 2, line: 'hello from stdout' } }])
    assert.deepEqual(readConsoleLine('ERROR 2026-01-01T00:00:00.000001 no: 1'), {
      timestamp: '2026-01-01T00:00:00.000001',
      level: 'error',
      label: null,
      line: 'no: 1',
    })
    assert.deepEqual(readConsoleLine('{"ts":"2026-01-01T00:00:00","content":"x","level":"error"}'), {
      timestamp: '2026-01-01T00:00:00',
      level: 'error',
      label: null,
      line: 'x',
    })
  })

  it('is not there under another name, nor is a field that nobody has', async () => {
    const of = (other: object) => client.ask(inRun('id'), { ...OF_RUN, ...other })
    assert.deepEqual(await of({ name: 'other' }), { project: { run: null } })
    assert.deepEqual(await of({ project: 'other' }), { project: null })
    const { status, text } = await client.graphql(inRun('colour'), OF_RUN)
    assert.equal(status, 400)
    assert.match(text, /Cannot query field \\"colour\\" on type \\"Run\\"/)
    assert.match(standIn.problems.pop()!, /colour/)
  })
})
