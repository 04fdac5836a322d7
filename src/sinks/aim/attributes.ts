/**
 * A run's attributes, which Aim shows as its params: a tree that is written twice, with the run and for queries over all
 * runs. Only leaves are written, so that what stands beside them stays.
 */
import type { ParamValue } from '../../core/types.ts'
import { type AimPath, MessageWriter } from './message.ts'
import type { AimSession } from './session.ts'
import { type AimTree, isBranch } from './tree.ts'

/** Of ours, beside the user's params. */
const OWN = new Set(['tracelet', 'tags', 'datasets', 'inputs', 'artifacts'])

/**
 * Leaves and branches that are there: a leaf in a branch's place would remove all below it, and with something below a
 * leaf Aim cannot read any attribute of the run, neither its SDK nor its pages.
 */
export class Attributes {
  readonly #session: AimSession
  readonly #leaves = new Set<string>()
  readonly #branches = new Set<string>()

  constructor(session: AimSession) {
    this.#session = session
    this.#learn(session.attributes, [])
  }

  /**
   * Where a param stands: `a.b` below `a`, unless `a` is a value or ours: then it stands beside it, under its whole name.
   * A value whose own place has members already stands beside them as `a.b (value)`. Where the params before it stand
   * must be known: it is asked for one after the other, as `messages` takes them.
   */
  pathOf(name: string): readonly string[] {
    const parts = name.split('.')
    if (parts.includes('')) return [name]
    if (OWN.has(parts[0]!)) return [parts.length === 1 ? `${name} (value)` : name]
    if (this.#branches.has(keyOf(parts))) return [`${name} (value)`]
    return this.#besideLeaves(parts)
  }

  /** Messages that set them; in the order given, the last of one path counts. */
  *messages(leaves: Iterable<readonly [path: readonly string[], value: AimTree]>): Generator<Buffer> {
    const writer = new MessageWriter()
    const { handlers } = this.#session
    for (const [given, value] of leaves) {
      const path = this.#besideLeaves(given)
      this.#add(path)
      for (const root of [this.#session.place('attrs'), ['meta', 'attrs']] as AimPath[]) {
        writer.set(handlers.meta, [...root, ...path], value)
      }
      if (writer.length >= this.#session.messageBytes) yield writer.take()
    }
    if (writer.length > 0) yield writer.take()
  }

  /** Another client may have a value where we have members. */
  #besideLeaves(path: readonly string[]): readonly string[] {
    const isFree = path.every((_, at) => at === 0 || !this.#leaves.has(keyOf(path.slice(0, at))))
    return isFree ? path : [path.join('.')]
  }

  #learn(tree: AimTree | undefined, path: readonly string[]): void {
    if (!isBranch(tree) || (path.length > 0 && Object.keys(tree).length === 0)) {
      if (path.length > 0) this.#add(path)
      return
    }
    for (const [key, member] of Object.entries(tree)) this.#learn(member, [...path, key])
  }

  #add(path: readonly string[]): void {
    this.#leaves.add(keyOf(path))
    for (let at = 1; at < path.length; at++) this.#branches.add(keyOf(path.slice(0, at)))
  }
}

/** Whole numbers are ints, as Python's are; the rest of them floats. */
export function attributeOf(value: ParamValue): AimTree {
  return typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0)
    ? BigInt(value)
    : value
}

function keyOf(path: readonly string[]): string {
  return path.join('\u0000')
}
