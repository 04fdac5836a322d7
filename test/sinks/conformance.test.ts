import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { SINKS } from '../../src/sinks/index.ts'
import { Bench } from './bench.ts'
import type { StartHarness } from './harness.ts'
import type { Check } from './suite/check.ts'
import { assertNoSecret, CHECKS } from './suite.ts'

const FAKES = ['identity', 'overwriting', 'offset', 'naming', 'holding', 'append'] as const

/** Harnesses are loaded within tests: what a `describe` body rejects is not counted as a failure. */
async function fake(kind: (typeof FAKES)[number]): Promise<StartHarness> {
  const { startIdentity, startOverwriting, startOffset, startNaming, startHolding, startAppend } =
    await import('./fakes/harnesses.ts')
  return {
    identity: startIdentity,
    overwriting: startOverwriting,
    offset: startOffset,
    naming: startNaming,
    holding: startHolding,
    append: startAppend,
  }[kind]
}

async function listed(kind: string): Promise<StartHarness> {
  const url = new URL(
    `./${kind}/harness${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
    import.meta.url,
  )
  assert.ok(existsSync(url), `the listed backend ${kind} has no test/sinks/${kind}/harness.ts`)
  return ((await import(url.href)) as { start: StartHarness }).start
}

/** Undefined when the check does not apply to the sink. */
async function check(load: Promise<StartHarness>, { fault, needs, run }: Check): Promise<string | undefined> {
  const bench = new Bench(await (await load)())
  try {
    if (fault !== undefined && !bench.harness.faults.includes(fault)) return `no fault '${fault}' here`
    if (needs !== undefined && !needs(bench)) return 'nothing of the kind here'
    await run(bench)
    assertNoSecret(bench)
    return undefined
  } finally {
    await bench.end()
  }
}

for (const { kind, load } of [
  ...FAKES.map((kind) => ({ kind: `fake ${kind}`, load: () => fake(kind) })),
  ...SINKS.filter(({ inJournal }) => !inJournal).map(({ kind }) => ({ kind, load: () => listed(kind) })),
]) {
  describe(`conformance of ${kind}`, () => {
    for (const one of CHECKS) {
      test(one.title, async (context) => {
        const reason = await check(load(), one)
        if (reason !== undefined) context.skip(reason)
      })
    }
    test('the harness plans a fault of the transport or the disk', async () => {
      const harness = await (await load())()
      await harness.stop()
      assert.ok(harness.faults.includes('cut') || harness.faults.includes('full'))
      assert.equal(harness.definition.kind, kind.replace('fake ', ''))
    })
  })
}
