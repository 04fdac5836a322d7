import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Calls } from '../../../src/pipeline/delivery/calls.ts'

const SILENCE_MS = 150

describe('calls of a sink', () => {
  test('one that gets on is left alone for as long as it takes; one that falls silent is aborted', async () => {
    const calls = new Calls(() => {})
    const start = performance.now()
    let abortedAfterMs = Infinity
    calls.track(
      async (signal, alive) => {
        for (let step = 0; step < 10; step++) {
          await delay(SILENCE_MS / 5)
          if (signal.aborted) return
          alive()
        }
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        abortedAfterMs = performance.now() - start
      },
      { silenceMs: SILENCE_MS, isFirm: true },
    )
    await calls.settled()
    assert.ok(abortedAfterMs >= SILENCE_MS * 2.9 && abortedAfterMs < Infinity, `${abortedAfterMs}`)
    assert.equal(calls.size, 0)
  })

  test('those under way may be given less time than they had, but not those that may take long, nor later ones', async () => {
    const calls = new Calls(() => {})
    const aborted: string[] = []
    const hang = (name: string) => (signal: AbortSignal) =>
      new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          aborted.push(`${name}: ${signal.reason.message}`)
          resolve()
        }),
      )
    calls.track(hang('silent'))
    calls.track(hang('upload'), { silenceMs: 60_000, isFirm: true })
    await delay(20)
    calls.limit(40)
    calls.track(hang('later'))
    await delay(200)
    assert.deepEqual(aborted, ['silent: no answer for 0 s'])
    calls.abort('the deadline passed')
    await calls.settled()
    assert.deepEqual(aborted.slice(1), ['upload: the deadline passed', 'later: the deadline passed'])
  })

  test('one that has ended and still says that it gets on changes nothing', async () => {
    const calls = new Calls(() => {})
    let late = () => {}
    let wasAborted = false
    calls.track(
      async (signal, alive) => {
        late = alive
        signal.addEventListener('abort', () => {
          wasAborted = true
        })
      },
      { silenceMs: 20, isFirm: true },
    )
    await calls.settled()
    late()
    await delay(60)
    assert.equal(wasAborted, false)
  })
})
