/** Numbers as users hold them (arrays, typed arrays, sets, generators) as one typed array. */
import type { ErrorRecord } from '../../core/errors.ts'

/** More values in one call are a mistake, such as a generator without an end: 512 MiB of doubles. */
const MAX_VALUES = 1 << 26

type TypedNumbers = Exclude<NodeJS.TypedArray, BigInt64Array | BigUint64Array>

/**
 * A typed array is returned as it is; anything else is copied.
 * @param what names the values in a message: `values`, `predictions`
 */
export function toNumbers(given: unknown, what: string): TypedNumbers | ErrorRecord {
  if (isTyped(given)) return given
  try {
    if (typeof given !== 'object' || given === null) return refused(`${what} must be an array of numbers`)
    if (Symbol.iterator in given && typeof (given as { length?: unknown }).length !== 'number') {
      return fromIterable(given as Iterable<unknown>, what)
    }
    return fromArrayLike(given as ArrayLike<unknown>, what)
  } catch (error) {
    return refused(`${what} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export function isErrorRecord(answer: object): answer is ErrorRecord {
  return 'code' in answer && 'message' in answer
}

export function refused(message: string): ErrorRecord {
  return { code: 'ERR_VALUE', message }
}

function isTyped(given: unknown): given is TypedNumbers {
  if (!ArrayBuffer.isView(given) || given instanceof DataView) return false
  return !(given instanceof BigInt64Array) && !(given instanceof BigUint64Array)
}

function fromArrayLike(given: ArrayLike<unknown>, what: string): Float64Array | ErrorRecord {
  const { length } = given
  if (!Number.isSafeInteger(length) || length < 0) return refused(`${what} must be an array of numbers`)
  if (length > MAX_VALUES) return tooMany(what)
  const numbers = new Float64Array(length)
  for (let index = 0; index < length; index++) {
    const value = numberOf(given[index])
    if (value === undefined) return notANumber(given[index], index, what)
    numbers[index] = value
  }
  return numbers
}

function fromIterable(given: Iterable<unknown>, what: string): Float64Array | ErrorRecord {
  let numbers = new Float64Array(1024)
  let length = 0
  for (const item of given) {
    const value = numberOf(item)
    if (value === undefined) return notANumber(item, length, what)
    if (length === MAX_VALUES) return tooMany(what)
    if (length === numbers.length) {
      const grown = new Float64Array(length * 2)
      grown.set(numbers)
      numbers = grown
    }
    numbers[length++] = value
  }
  return numbers.subarray(0, length)
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  return typeof value === 'bigint' ? Number(value) : undefined
}

function notANumber(value: unknown, index: number, what: string): ErrorRecord {
  const found = Array.isArray(value) || ArrayBuffer.isView(value) ? 'an array (flatten it)' : typeof value
  return refused(`${what} must be numbers, but number ${index} is ${value === null ? 'null' : found}`)
}

function tooMany(what: string): ErrorRecord {
  return refused(`${what} must not be more than ${MAX_VALUES} numbers; log a sample of them`)
}
