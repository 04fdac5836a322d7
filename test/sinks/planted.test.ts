import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Batch, Sink, SinkState, WriteResult } from '../../src/core/types.ts'
import { Bench } from './bench.ts'
import { startAppend, startHolding, startIdentity, startNaming, startOffset } from './fakes/harnesses.ts'
import type { StartHarness } from './harness.ts'
import { assertNoSecret, CHECKS } from './suite.ts'

/**
 * The ids of the checks that reject what `spoil` makes of a sound sink.
 * @param only those with this id; default: all
 */
async function rejectedBy(
  start: StartHarness,
  spoil: (sink: Sink, bench: Bench) => Partial<Sink>,
  only?: string,
): Promise<Set<string>> {
  const ids = new Set<string>()
  for (const { id, fault, needs, run } of CHECKS.filter((check) => only === undefined || check.id === only)) {
    const sound = await start()
    let bench: Bench | undefined
    const spoiled = {
      ...sound,
      definition: {
        ...sound.definition,
        create: (context: never) => {
          const sink = sound.definition.create(context)
          const bound: Sink = {
            open: sink.open.bind(sink),
            write: sink.write.bind(sink),
            ...(sink.prepare && { prepare: sink.prepare.bind(sink) }),
            ...(sink.beat && { beat: sink.beat.bind(sink) }),
            writeRecord: sink.writeRecord.bind(sink),
            ...(sink.upload && { upload: sink.upload.bind(sink) }),
            close: sink.close.bind(sink),
          }
          return { ...bound, ...spoil(bound, bench!) }
        },
      },
    }
    bench = new Bench(spoiled as never)
    if ((fault === undefined || sound.faults.includes(fault)) && (needs?.(bench) ?? true)) {
      try {
        await run(bench)
        assertNoSecret(bench)
      } catch (error) {
        // a store that a bad sink left unreadable rejects it as well as a failed comparison does
        const isVerdict = error instanceof assert.AssertionError || error instanceof SyntaxError
        assert.ok(isVerdict, String(error))
        ids.add(id)
      }
    }
    await bench.end()
  }
  return ids
}

const swallow = async (write: Promise<WriteResult>): Promise<WriteResult> => {
  const answer = await write.catch((): WriteResult => ({ status: 'accepted' }))
  return answer.status === 'partial' ? answer : { status: 'accepted' }
}

describe('the conformance suite turns red', () => {
  test('over a sound sink it stays green', async () => {
    for (const start of [startIdentity, startOffset, startNaming, startHolding, startAppend])
      assert.deepEqual(await rejectedBy(start, () => ({})), new Set())
  })

  test('over a sink that swallows a failure', async () => {
    for (const start of [startIdentity, startOffset, startAppend]) {
      const ids = await rejectedBy(start, (sink) => ({
        write: (batch, signal) => swallow(sink.write(batch, signal)),
      }))
      for (const id of ['S2', 'S5', 'S7']) assert.ok(ids.has(id), `${id}, only ${[...ids]}`)
    }
  })

  test('over a sink whose beats bring nothing, or whose state after them is that before', async () => {
    const idle = await rejectedBy(
      startHolding,
      () => ({ beat: async () => ({ status: 'accepted', state: { lines: 0 } }) }),
      'S22',
    )
    assert.deepEqual(idle, new Set(['S22']))
    let held: SinkState
    const stale = await rejectedBy(
      startHolding,
      (sink) => ({
        writeRecord: async (...given) => {
          const answer = await sink.writeRecord(...given)
          if (answer.status === 'accepted') held = answer.state
          return answer
        },
        beat: async (signal) => {
          const answer = await sink.beat!(signal)
          return answer.status === 'accepted' && held !== undefined ? { ...answer, state: held } : answer
        },
      }),
      'S22',
    )
    assert.deepEqual(stale, new Set(['S22']))
  })

  test('over a sink that says accepted before it is', async () => {
    const ids = await rejectedBy(startIdentity, () => ({ write: async () => ({ status: 'accepted' }) }))
    for (const id of ['S1', 'S2', 'S6', 'S12']) assert.ok(ids.has(id), `${id}, only ${[...ids]}`)
  })

  test('over a sink that writes everything twice', async () => {
    const twice = (sink: Sink): Partial<Sink> => ({
      write: async (batch, signal) => {
        await sink.write(batch, signal)
        return sink.write(batch, signal)
      },
    })
    for (const start of [startOffset, startAppend]) assert.ok((await rejectedBy(start, twice)).has('S1'))
  })

  test('over a sink that forgets its state', async () => {
    for (const start of [startOffset, startAppend]) {
      const ids = await rejectedBy(start, (sink) => ({
        open: (_state, signal) => sink.open(undefined, signal),
      }))
      assert.ok(ids.has('S12'), `only ${[...ids]}`)
    }
  })

  test('over a sink that rejects the wrong item', async () => {
    const ids = await rejectedBy(startIdentity, (sink) => ({
      write: async (batch, signal) => {
        const answer = await sink.write(batch, signal)
        if (answer.status !== 'partial') return answer
        return { status: 'partial', rejected: answer.rejected.map((one) => ({ ...one, index: 0 })) }
      },
    }))
    assert.ok(ids.has('S4'))
  })

  test('over a sink that skips a file, doubles an upload, or forgets what it is of', async () => {
    const spoilt: ((sink: Sink) => NonNullable<Sink['upload']>)[] = [
      (sink) => async (upload, signal) =>
        upload.file?.index === 1 ? { status: 'accepted' } : sink.upload!(upload, signal),
      (sink) => async (upload, signal) => {
        await sink.upload!({ ...upload, seq: upload.seq + 1_000_000 }, signal)
        return sink.upload!(upload, signal)
      },
      (sink) => (upload, signal) => sink.upload!({ ...upload, seq: 7 }, signal),
      (sink) => (upload, signal) => swallow(sink.upload!(upload, signal)),
    ]
    for (const spoil of spoilt) {
      const ids = await rejectedBy(startIdentity, (sink) => ({ upload: spoil(sink) }))
      assert.ok(ids.has('S14'), `only ${[...ids]}`)
    }
  })

  test('over a sink that does not name what it uploads, names it twice, or sends it twice', async () => {
    const spoilt: ((sink: Sink) => Partial<Sink>)[] = [
      (sink) => ({
        writeRecord: async (record, seq, signal) =>
          record.kind === 'artifact' ? { status: 'accepted' } : sink.writeRecord(record, seq, signal),
      }),
      (sink) => ({
        writeRecord: async (record, seq, signal) => {
          if (record.kind === 'artifact') await sink.writeRecord(record, seq, signal)
          return sink.writeRecord(record, seq, signal)
        },
      }),
      (sink) => ({
        upload: async (upload, signal) => {
          await sink.upload!({ ...upload, seq: upload.seq + 1_000_000 }, signal)
          return sink.upload!(upload, signal)
        },
      }),
    ]
    for (const spoil of spoilt) {
      assert.ok((await rejectedBy(startNaming, spoil, 'S19')).has('S19'))
    }
  })

  test('over a sink that swallows an alert, an input, or a file of the run', async () => {
    for (const kind of ['alert', 'input'] as const) {
      const swallows = (sink: Sink): Partial<Sink> => ({
        writeRecord: async (record, seq, signal) =>
          record.kind === kind ? { status: 'accepted' } : sink.writeRecord(record, seq, signal),
      })
      assert.deepEqual(await rejectedBy(startOffset, swallows, 'S23'), new Set(['S23']))
    }
    const skipsFile = (sink: Sink): Partial<Sink> => ({
      upload: async (upload, signal) =>
        upload.record.kind === 'files' && upload.file ? { status: 'accepted' } : sink.upload!(upload, signal),
    })
    assert.deepEqual(await rejectedBy(startIdentity, skipsFile, 'S23'), new Set(['S23']))
  })

  test('over a sink that sends what it has prepared, whatever it is to write', async () => {
    const sendsPrepared = (sink: Sink): Partial<Sink> => {
      let prepared: Batch | undefined
      return {
        prepare: (batch) => {
          prepared = batch
        },
        write: (batch, signal) => {
          const sent = prepared ?? batch
          prepared = undefined
          return sink.write(sent, signal)
        },
      }
    }
    assert.ok((await rejectedBy(startOffset, sendsPrepared, 'S20')).has('S20'))
  })

  test('over a sink that sends what it is to prepare', async () => {
    const sendsAtOnce = (sink: Sink): Partial<Sink> => ({
      prepare: (batch) => {
        sink.write(batch, new AbortController().signal).catch(() => {})
      },
    })
    assert.ok((await rejectedBy(startAppend, sendsAtOnce, 'S20')).has('S20'))
  })

  test('over a sink that hears no signal', async () => {
    const ids = await rejectedBy(startIdentity, (sink) => ({
      write: (batch, signal) => sink.write(batch, signal.aborted ? signal : new AbortController().signal),
    }))
    assert.deepEqual(ids, new Set(['S10']))
  })

  test('over a sink that tells a secret', async () => {
    const ids = await rejectedBy(startIdentity, (sink, bench) => ({
      write: async (batch, signal) => {
        const answer = await sink.write(batch, signal)
        bench.said.push(`sent with ${bench.options.token}`)
        return answer
      },
    }))
    assert.ok(ids.has('S1'))
  })

  test('over a sink that ends a run in another state', async () => {
    const ids = await rejectedBy(startAppend, (sink) => ({
      writeRecord: (record, seq, signal) =>
        record.kind === 'state'
          ? Promise.resolve({ status: 'accepted' })
          : sink.writeRecord(record, seq, signal),
    }))
    assert.deepEqual(ids, new Set(['S11']))
  })
})
