import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashOf } from '../../../src/sinks/aim/hash.ts'
import { AimBlob, type AimTree } from '../../../src/sinks/aim/tree.ts'

/** As Aim 3.29.1 hashes them: `aim.storage.hashing.hash_auto`. */
const HASHES: readonly (readonly [AimTree, bigint])[] = [
  [0n, 487590686800389010n],
  [1n, 6813614137041369426n],
  [-1n, -2031535777419256979n],
  [0.1, -6804443626259304751n],
  ['abc', -8171830736593126806n],
  [[1n, 2n], 3353234803786202970n],
  [{}, -4504863053055089774n],
  [{ subset: 'train' }, -8686149688933388395n],
  [{ lr: 0.1, z: false }, 2454939632119404181n],
  [null, 1393794177995070132n],
  [Infinity, 3372801684980267467n],
  [-Infinity, 8531898805919798013n],
  [Number.NaN, 487590686800389010n],
  [-0.5, 2779494349166001267n],
  [5e-324, 6347604886970453728n],
  [1.7976931348623157e308, 1722639860742790192n],
  [1e17, -9201554871749003282n],
  [2.5e-310, 837050741238954813n],
  [-123456.789, 1128109490833308271n],
  [9007199254740993n, -5667485957076255568n],
  [-9223372036854775808n, -1605165261942922965n],
  [9223372036854775807n, 959237082491885421n],
  [true, 6813614137041369426n],
  ['é漢😀', -4218888708641922037n],
  ['', 6849049062142317862n],
  [[], -6285522261664082058n],
  [['a', [null, 2.5]], -7280128786826264567n],
  [{ subset: 'val', rank: 3n, deep: { x: [1.5, true] } }, -937506681403040433n],
  [Buffer.from([0, 1, 255]), 6760883145439968631n],
]

test("hashes are those of Aim's own functions", () => {
  for (const [tree, hash] of HASHES) assert.equal(hashOf(tree), hash, String(tree))
})

test('numbers that are equal have equal hashes, and so have objects with their members in another order', () => {
  assert.equal(hashOf(3), hashOf(3n))
  assert.equal(hashOf(-0), hashOf(0n))
  assert.equal(hashOf(true), hashOf(1n))
  assert.equal(hashOf({ a: 1n, b: 'x' }), hashOf({ b: 'x', a: 1 }))
  assert.notEqual(hashOf(3), hashOf(-3))
})

test('what Aim cannot hash is refused', () => {
  assert.throws(() => hashOf(new AimBlob('x')), TypeError)
})
