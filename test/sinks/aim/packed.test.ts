import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PackedWriter, packTree, TYPE } from '../../../src/sinks/aim/packed.ts'
import { AimBlob, AimCustom, type AimTree } from '../../../src/sinks/aim/tree.ts'
import { unpackTree } from '../../../src/sinks/aim/unpack.ts'
import { Random } from '../../random.ts'

const TREE: AimTree = {
  a: 1n,
  list: [null, true, -2.5, 'é', Buffer.of(1, 255), [], {}, { deep: { n: -(2n ** 63n) } }],
  blob: new AimBlob('whole'),
  bytes: new AimBlob(Buffer.of(0, 1)),
  text: new AimCustom('aim.text', { data: new AimBlob('hello') }),
}
/** As Aim 3.29.1 packs it: `pack_args(encode_tree(…))`. */
const PACKED = [
  '0200000061fe0009000000020100000000000000050000006c697374fe0001000000060f0000006c697374fefe0000000000',
  '000000fe0001000000000f0000006c697374fefe0000000000000001fe000200000001010f0000006c697374fefe00000000',
  '00000002fe00090000000300000000000004c00f0000006c697374fefe0000000000000003fe000300000004c3a90f000000',
  '6c697374fefe0000000000000004fe00030000000501ff0f0000006c697374fefe0000000000000005fe0001000000060f00',
  '00006c697374fefe0000000000000006fe000100000007160000006c697374fefe0000000000000007fe64656570fe6efe00',
  '0900000002000000000000008005000000626c6f62fe01060000000477686f6c65060000006279746573fe01030000000500',
  '010500000074657874fe00090000000f61696d2e746578740a00000074657874fe64617461fe01060000000468656c6c6f',
].join('')

test("trees are packed as by Aim's own functions, byte for byte", () => {
  assert.equal(packTree(TREE).toString('hex'), PACKED)
})

test('what was packed is read as it was', () => {
  assert.deepEqual(unpackTree(packTree(TREE)), TREE)
  for (const tree of [null, 0n, Number.NaN, '', [], {}, [[]], 'x'.repeat(100_000)])
    assert.deepEqual(unpackTree(packTree(tree)), tree)
})

test('numbers in paths are read as digits, and a writer walks down and up as often as it likes', () => {
  const writer = new PackedWriter()
  writer.bare(TYPE.array)
  const first = writer.downTo(0)
  const deep = writer.down('k'.repeat(1000))
  writer.int(7n)
  writer.up(deep)
  writer.text(TYPE.text, 'not below', false)
  writer.up(first)
  writer.downTo(1)
  writer.float(1)
  const bytes = writer.take()
  assert.equal(writer.length, 0)
  assert.throws(() => unpackTree(Buffer.concat([packTree('leaf'), packTree({ a: 1n })])), /below a value/)
  assert.equal(bytes.readUInt32LE(0), 0)
  assert.deepEqual(unpackTree(packTree({ '12': [1n] })), { '12': [1n] })
})

test('bytes that end too early or hold what is none are refused, never read as something else', () => {
  const packed = packTree(TREE)
  const random = new Random(Number(process.env.TRACELET_TEST_SEED ?? 7))
  const ends = new Set<number>()
  for (let at = 0; at < packed.length; ) {
    at += 4 + packed.readUInt32LE(at) + 1
    at += 4 + packed.readUInt32LE(at)
    ends.add(at)
  }
  for (let i = 0; i < 200; i++) {
    const end = random.below(packed.length)
    if (end > 0 && !ends.has(end)) assert.throws(() => unpackTree(packed.subarray(0, end)), RangeError)
  }
  assert.throws(() => unpackTree(Buffer.from('0000000000010000000c', 'hex')), /type 12/)
})

test('an int beyond 64 bits and an empty key are refused', () => {
  assert.throws(() => packTree(2n ** 63n), RangeError)
  assert.throws(() => packTree({ '': 1n }), /empty keys/)
})
