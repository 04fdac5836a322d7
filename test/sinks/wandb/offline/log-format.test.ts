import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { framed, LOG_HEADER, readWhole } from '../../../../src/sinks/wandb/offline/log-format.ts'
import { Random, SEED } from '../../../random.ts'
import { temporaryFolder } from '../../../run/program.ts'

const BLOCK = 32_768

async function readBack(path: string, size: number) {
  const handle = await open(path)
  try {
    const seen: Buffer[] = []
    const whole = await readWhole(handle, size, (record) => void seen.push(Buffer.from(record)))
    return { ...whole, seen }
  } finally {
    await handle.close()
  }
}

/** Records that end 0 … 8 bytes before the end of a block, and others of any size. */
function records(random: Random, count: number): Buffer[] {
  let at = LOG_HEADER.length
  return Array.from({ length: count }, () => {
    const left = BLOCK - (at % BLOCK)
    const bytes =
      random.next() < 0.3
        ? Math.max(0, left - 7 - random.below(9))
        : random.below(random.next() < 0.1 ? 100_000 : 300)
    const record = Buffer.alloc(bytes, random.below(256))
    at += framed([record], at).length
    return record
  })
}

describe(`the container of W&B's files (seed ${SEED})`, () => {
  test('the same bytes, however records are put together, and all of them come back', async (context) => {
    const random = new Random(SEED)
    const path = join(temporaryFolder(context), 'log')
    const given = records(random, 400)
    const whole = Buffer.concat([LOG_HEADER, framed(given, LOG_HEADER.length)])
    let parts: Buffer = Buffer.from(LOG_HEADER)
    for (let from = 0; from < given.length; ) {
      const to = from + 1 + random.below(20)
      parts = Buffer.concat([parts, framed(given.slice(from, to), parts.length)])
      from = to
    }
    assert.ok(parts.equals(whole))
    assert.ok(whole.length > 20 * BLOCK, 'of many blocks')
    writeFileSync(path, whole)
    const { seen, bytes, count } = await readBack(path, whole.length)
    assert.deepEqual([bytes, count], [whole.length, given.length])
    for (const [at, record] of given.entries()) assert.ok(seen[at]!.equals(record), `record ${at}`)
  })

  test('of a file that ends anywhere, or is damaged anywhere, the whole records before are read', async (context) => {
    const random = new Random(SEED)
    const path = join(temporaryFolder(context), 'log')
    const given = records(random, 40)
    const ends: number[] = []
    let file: Buffer = Buffer.from(LOG_HEADER)
    for (const record of given) {
      file = Buffer.concat([file, framed([record], file.length)])
      ends.push(file.length)
    }
    const before = (at: number) => ends.filter((end) => end <= at).length
    for (let turn = 0; turn < 150; turn++) {
      const at = LOG_HEADER.length + random.below(file.length - LOG_HEADER.length)
      const isCut = random.next() < 0.5
      const damaged = isCut ? file.subarray(0, at) : Buffer.from(file)
      if (!isCut) damaged[at]! ^= 1 + random.below(255)
      writeFileSync(path, damaged)
      const { count, bytes, seen } = await readBack(path, damaged.length)
      if (isCut) assert.equal(count, before(at), `cut at ${at}`)
      // zeros between blocks are looked at by nobody
      else assert.ok(count === before(at) || count === given.length, `damaged at ${at}: ${count}`)
      assert.equal(bytes, count === 0 ? LOG_HEADER.length : ends[count - 1])
      for (const [index, record] of seen.entries()) assert.ok(record.equals(given[index]!))
    }
  })

  test('a file with another beginning has no records', async (context) => {
    const path = join(temporaryFolder(context), 'log')
    for (const begin of ['', ':W&', 'another file altogether']) {
      writeFileSync(path, begin)
      assert.deepEqual(await readBack(path, begin.length), { bytes: 0, count: 0, seen: [] })
    }
  })
})
