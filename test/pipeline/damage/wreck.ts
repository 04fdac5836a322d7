/** Damage of every sort. */
import type { Random } from '../../random.ts'
import type { Files } from './model.ts'

type Change = (bytes: Buffer, random: Random, all: Files) => Buffer

function noise(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)))
}

/** A stretch of at most `most` bytes. */
function stretch(random: Random, { length }: Buffer, most: number): [from: number, to: number] {
  const from = random.below(length + 1)
  return [from, Math.min(length, from + 1 + random.below(most))]
}

function replaced(bytes: Buffer, from: number, to: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)])
}

/** To one file. */
export const CHANGES: Readonly<Record<string, Change>> = {
  flip(bytes, random) {
    const flipped = Buffer.from(bytes)
    for (let count = 1 + random.below(4); count > 0 && bytes.length > 0; count--)
      flipped[random.below(bytes.length)]! ^= 1 << random.below(8)
    return flipped
  },
  zeros(bytes, random) {
    const [from, to] = stretch(random, bytes, 400)
    return replaced(bytes, from, to, Buffer.alloc(to - from))
  },
  noise(bytes, random) {
    const [from, to] = stretch(random, bytes, 400)
    return replaced(bytes, from, to, noise(random, to - from))
  },
  cutOut(bytes, random) {
    const [from, to] = stretch(random, bytes, 200)
    return replaced(bytes, from, to, Buffer.alloc(0))
  },
  insert(bytes, random) {
    const [from] = stretch(random, bytes, 1)
    return replaced(bytes, from, from, noise(random, 1 + random.below(100)))
  },
  /** Perhaps whole frames, of this or another session. */
  repeat(bytes, random, all) {
    const source = random.pick([...all.values()])
    const from = source.indexOf('TLJF', random.below(source.length + 1))
    const to = source.indexOf('TLJF', from + 1 + random.below(600))
    const [at] = stretch(random, bytes, 1)
    const frame = bytes.indexOf('TLJF', at)
    if (from < 0) return bytes
    return replaced(
      bytes,
      Math.max(frame, 0),
      Math.max(frame, 0),
      source.subarray(from, to < 0 ? undefined : to),
    )
  },
  tear: (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  append: (bytes, random) => Buffer.concat([bytes, noise(random, random.below(300))]),
  empty: () => Buffer.alloc(0),
}

/** To a journal's files, so many times. */
export function wreck(files: Files, random: Random, times: number): { files: Files; what: string } {
  const damaged = new Map(files)
  const told: string[] = []
  for (let count = times; count > 0; count--) {
    const names = [...damaged.keys()]
    if (names.length === 0) break
    const name = random.pick(names)
    const other = random.pick(names)
    const bytes = damaged.get(name)!
    const sort = random.below(14)
    if (sort === 0) damaged.delete(name)
    else if (sort === 1) {
      damaged.set(name, damaged.get(other)!)
      damaged.set(other, bytes)
    } else if (sort === 2) damaged.set(name, damaged.get(other)!)
    else if (sort === 3) damaged.set(beyond(names), bytes)
    else {
      const change = random.pick(Object.keys(CHANGES))
      damaged.set(name, CHANGES[change]!(bytes, random, damaged))
      told.push(`${change} ${name}`)
      continue
    }
    told.push(`${['delete', 'swap', 'overwrite', 'copy'][sort]} ${name} ${other}`)
  }
  return { files: damaged, what: told.join(', ') }
}

function beyond(names: readonly string[]): string {
  const highest = Math.max(...names.map((name) => Number(/\d+/.exec(name)![0])))
  return `journal-${String(highest + 1).padStart(8, '0')}.tlj`
}
