import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { RunRecord, WriteResult } from '../../../../src/core/types.ts'
import { Random, SEED } from '../../../random.ts'
import type { Fault, StandInRequest } from '../stand-in/stand-in.ts'
import { isPut, type Played, UploadBench } from './bench.ts'

const ROUNDS = process.env.TRACELET_TEST_LONG ? 60 : 8
const FILES = 30
const PARTS = { minBytes: 3_000, partBytes: 700 }
const answer = (status: number) => ({ kind: 'answer', status, headers: { 'retry-after': '0' } }) as const
/** What passes: nothing of it may cost a file, or make a second version. */
const FAULTS: readonly Fault[] = [
  ...([{ kind: 'cut' }, { kind: 'lostAnswer' }, { kind: 'cutAnswer' }, { kind: 'falseSuccess' }] as const),
  ...[answer(429), answer(500), answer(503)],
]
const isOfArtifact = ({ kind, operation }: StandInRequest) =>
  kind === 'upload' || /Artifact|Multipart|FetchOrg/.test(operation)
const md5 = (content: string) => createHash('md5').update(content).digest('base64')

test(`whatever befalls calls, uploads and the process, there is one version with the right content (seed ${SEED})`, async () => {
  const random = new Random()
  let met = 0
  let restarts = 0
  for (let round = 0; round < ROUNDS; round++) {
    const bench = await UploadBench.start({ keepsMultipartUploads: random.below(2) === 0 }, PARTS)
    const what = `seed ${SEED}, round ${round}`
    try {
      const contents: Record<string, string> = {}
      for (let i = 0; i < FILES; i++)
        contents[`f${i % 3}/${i}`] = `${round} ${i} `.repeat(1 + random.below(20))
      // two in parts, two that are equal
      contents['f0/large'] = `${round} large `.repeat(500)
      contents['f1/large'] = `${round} larger `.repeat(900)
      contents['f2/twin'] = contents['f0/0']!
      const model: RunRecord = {
        ...{ kind: 'model', name: 'net', time: 1, bytes: 0, register: 'digits', aliases: ['best'] },
        files: bench.files(contents),
      }
      bench.standIn.planFaults({
        ...{ seed: random.below(2 ** 31), share: 0.2, faults: FAULTS },
        matches: (request) => isOfArtifact(request),
      })
      let reached: Played = { answer: { status: 'accepted' }, saved: { settled: 0, state: undefined } }
      let older = reached.saved
      for (let tries = 0; ; tries++) {
        assert.ok(tries < 300, `${what}: no end`)
        const until = random.below(4) === 0 ? random.below(FILES) : Infinity
        reached = await bench.play(model, 1, reached.saved, until)
        const { status }: WriteResult = reached.answer
        assert.ok(status === 'accepted' || status === 'retry', `${what}: ${JSON.stringify(reached.answer)}`)
        if (status === 'accepted' && until === Infinity) break
        if (random.below(3) === 0) {
          restarts++
          await bench.restart()
          // a cursor may be as it was a while ago
          if (random.below(2) === 0) reached = { ...reached, saved: older }
          older = reached.saved
        }
      }
      met += bench.standIn.faults.count
      bench.standIn.planFaults(undefined)
      const { versions } = bench.collection('net')
      assert.deepEqual(
        versions.map(({ version, state }) => [version, state]),
        [['v0', 'COMMITTED']],
        what,
      )
      const found = versions[0]!.manifest!.contents
      assert.deepEqual(
        Object.fromEntries(Object.entries(found).map(([path, { digest }]) => [path, digest])),
        Object.fromEntries(Object.entries(contents).map(([path, content]) => [path, md5(content)])),
        what,
      )
      for (const [path, { digest, birthArtifactID }] of Object.entries(found)) {
        const stored = bench.standIn.store.blob(birthArtifactID!, digest)?.content?.toString()
        assert.equal(stored, contents[path], `${what}: ${path}`)
      }
      const registered = bench.standIn.artifacts.get('standers-org/wandb-registry-model/digits')!
      assert.deepEqual(
        registered.versions.map(({ id, aliases }) => [id, [...aliases].sort()]),
        [[versions[0]!.id, ['best', 'latest']]],
        what,
      )
    } finally {
      await bench.end([/no upload/])
    }
  }
  assert.ok(met > ROUNDS * 3 && restarts > 0, `${met} faults, ${restarts} restarts`)
})

test('an upload that is cut off is sent once more, and no other', async () => {
  const contents = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, `content ${i}`]))
  for (const kind of ['cut', 'lostAnswer'] as const) {
    const bench = await UploadBench.start()
    bench.standIn.failNext(
      { kind },
      (request) => isPut(request) && /f5\b/.test(decodeURIComponent(request.path)),
    )
    assert.deepEqual(await bench.playOn(bench.artifact(contents), 1), { status: 'accepted' })
    const times = new Map<string, number>()
    for (const { path } of bench.standIn.requests.filter(isPut)) times.set(path, (times.get(path) ?? 0) + 1)
    const repeated = [...times].filter(([, count]) => count > 1)
    assert.ok(
      repeated.every(([path, count]) => count === 2 && /f5\b/.test(decodeURIComponent(path))),
      String(repeated),
    )
    assert.equal([...times.keys()].length, 13)
    await bench.end()
  }
})
