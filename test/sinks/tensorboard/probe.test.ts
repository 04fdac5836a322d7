import assert from 'node:assert/strict'
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { probeTensorBoard } from '../../../src/sinks/tensorboard/probe.ts'
import { temporaryFolder } from '../../run/program.ts'

test('a folder for event files is tried, and left as it was', async (context) => {
  const folder = temporaryFolder(context)
  const levels = async (logDir: string | undefined) =>
    (await probeTensorBoard({ logDir })).map(({ level }) => level)
  assert.deepEqual(await levels(undefined), ['ok'])
  assert.deepEqual(await levels(folder), ['ok'])
  const below = join(folder, 'a', 'b')
  assert.deepEqual(await levels(below), ['ok'])
  assert.ok(!existsSync(below))
  assert.deepEqual(readdirSync(folder), [])
  const file = join(folder, 'file')
  writeFileSync(file, '')
  const [finding] = await probeTensorBoard({ logDir: join(file, 'logs') })
  assert.equal(finding!.level, 'fail')
  assert.match(finding!.fix!, /TRACELET_TENSORBOARD_LOGDIR/)
})

test('a folder that may not be written is a failure', {
  skip: process.getuid?.() === 0 && 'root may write anywhere',
}, async (context) => {
  const folder = temporaryFolder(context)
  chmodSync(folder, 0o500)
  const [finding] = await probeTensorBoard({ logDir: folder })
  chmodSync(folder, 0o700)
  assert.equal(finding!.level, 'fail')
})
