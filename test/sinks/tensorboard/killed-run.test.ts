/** A whole run, killed while large images go into its event file; `tracelet sync` brings it to its end. */
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { tracelet } from '../../cli/run-cli.ts'
import { readJournal } from '../../run/journaled.ts'
import { startProgram, temporaryFolder } from '../../run/program.ts'
import { eventFilesOf, readEvents } from './read-events.ts'

const MIB = 2 ** 20
const IMAGE_BYTES = 16 * MIB

test('after a kill amid large images every image and point of the journal is in the event file once', async (context) => {
  for (const killAtBytes of [3 * MIB, 25 * MIB]) {
    const folder = temporaryFolder(context)
    const { child, ended } = startProgram(
      folder,
      async ({ startLogging }, { folder: dir, args }) => {
        const run = startLogging({ backend: 'tensorboard', dir, runId: 'killed' })
        const image = Buffer.alloc(Number(args[0]))
        image.set(Buffer.from('89504e470d0a1a0a', 'hex'))
        for (let step = 0; step < 4; step++) {
          run.log({ loss: step / 2 }, { step })
          image.fill(step + 1, 100)
          run.logImage('large', image, { step })
        }
        await new Promise((resolve) => setTimeout(resolve, 60_000))
      },
      [String(IMAGE_BYTES)],
    )
    const runFolder = join(folder, 'default', 'killed')
    while (eventBytes(runFolder) < killAtBytes) await sleep(1)
    child.kill('SIGKILL')
    assert.equal((await ended).signal, 'SIGKILL')
    assert.ok(eventBytes(runFolder) < 4 * IMAGE_BYTES, 'it was done before it was killed')

    const { code, stderr } = await tracelet(folder, 'sync', runFolder)
    assert.equal(code, 0, stderr)
    const { points, records } = readJournal(runFolder)
    const values = readEvents(runFolder)
    const images = values.filter(({ tag }) => tag === 'large')
    const journaled = records.flatMap((record) => (record.kind === 'images' ? [record.step] : []))
    assert.ok(journaled.length > 0)
    assert.deepEqual(
      images.map(({ step }) => Number(step)),
      journaled,
    )
    for (const { step, image } of images) {
      const pixels = Buffer.alloc(IMAGE_BYTES - 100, Number(step) + 1)
      assert.ok(image!.length === IMAGE_BYTES && image!.subarray(100).equals(pixels))
    }
    assert.deepEqual(
      values.filter(({ tag }) => tag === 'loss').map(({ step, value }) => [Number(step), value]),
      points.get('loss')!.map(({ step, value }) => [step, value]),
    )
  }
})

function eventBytes(runFolder: string): number {
  if (!existsSync(runFolder)) return 0
  const [name] = eventFilesOf(runFolder)
  return name === undefined ? 0 : statSync(join(runFolder, name)).size
}
