/**
 * Aim's hashes (aim/storage/hashing): a series is found by that of its context, a value by that of its step.
 * BLAKE2b of 8 bytes with a salt for each type, read as a signed number.
 */
import { blake2b } from '@noble/hashes/blake2'
import type { AimTree } from './tree.ts'
import { isBranch } from './tree.ts'

const NULL_HASH = 1393794177995070132n
const SALTS = {
  number: saltOf(-7494597716789683807n),
  array: saltOf(2965039128708897743n),
  object: saltOf(-2435585119574290752n),
  text: saltOf(7540324813251503183n),
  bytes: saltOf(-6836296829636613855n),
}
/** CPython's: hashes of numbers are modulo this prime. */
const PRIME = (1n << 61n) - 1n
const INFINITY_HASH = 314159n

/**
 * Equal numbers have equal hashes, be they ints or floats, and so have two that are one as a double; so have objects with equal members in any order.
 * @throws TypeError for what Aim cannot hash
 */
export function hashOf(tree: AimTree): bigint {
  if (tree === null) return NULL_HASH
  if (typeof tree === 'boolean') return uniform(tree ? 1n : 0n)
  if (typeof tree === 'number') return uniform(floatHash(tree))
  if (typeof tree === 'bigint') return uniform(floatHash(Number(tree)))
  if (typeof tree === 'string') return digest(Buffer.from(tree), SALTS.text)
  if (tree instanceof Uint8Array) return digest(tree, SALTS.bytes)
  if (Array.isArray(tree)) return hashOfArray(tree.map(hashOf))
  if (!isBranch(tree)) throw new TypeError(`Aim has no hash for ${(tree as object).constructor.name}`)
  const members = Object.entries(tree).map(([key, member]) => ({ key: hashOf(key), member }))
  members.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  const hashes = members.map(({ key, member }) => hashOfArray([key, hashOf(member)]))
  return digest(numbers(hashes), SALTS.object)
}

function hashOfArray(hashes: readonly bigint[]): bigint {
  return digest(numbers(hashes), SALTS.array)
}

const one = Buffer.alloc(8)

function uniform(number: bigint): bigint {
  one.writeBigInt64LE(number)
  return digest(one, SALTS.number)
}

/** The number as a fraction, modulo the prime: an integer is its own. */
function floatHash(number: number): bigint {
  // the remainder has the sign of the number, as CPython's hash
  if (Number.isInteger(number)) return BigInt(number) % PRIME
  if (Number.isNaN(number)) return 0n
  if (!Number.isFinite(number)) return number > 0 ? INFINITY_HASH : -INFINITY_HASH
  one.writeDoubleLE(Math.abs(number))
  const bits = one.readBigUInt64LE()
  const biased = Number(bits >> 52n)
  const fraction = bits & ((1n << 52n) - 1n)
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n)
  const exponent = Math.max(biased, 1) - 1075
  // 2^61 is 1 modulo the prime
  const turns = BigInt(((exponent % 61) + 61) % 61)
  const hash = (mantissa << turns) % PRIME
  return number < 0 ? -hash : hash
}

function numbers(values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  for (let i = 0; i < values.length; i++) bytes.writeBigInt64LE(values[i]!, i * 8)
  return bytes
}

function digest(bytes: Uint8Array, salt: Uint8Array): bigint {
  const hash = blake2b(bytes, { dkLen: 8, salt })
  return new DataView(hash.buffer, hash.byteOffset, 8).getBigInt64(0, true)
}

function saltOf(constant: bigint): Uint8Array {
  const salt = Buffer.alloc(16)
  salt.writeBigInt64LE(constant)
  return salt
}
