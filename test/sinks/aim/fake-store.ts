/** What an Aim repository holds, as trees: the rules of `aim/storage/treeview.py`, and the run's row beside them. */
import { AimBlob, AimCustom, type AimTree, isBranch } from '../../../src/sinks/aim/tree.ts'

type Key = string | bigint

/** A place: a value, or members, or nothing that is told of. */
class Place {
  value: AimTree | undefined
  isArray = false
  readonly members = new Map<string, Place>()

  at(path: readonly Key[], makes: boolean): Place | undefined {
    let place: Place | undefined = this
    for (const key of path) {
      let next: Place | undefined = place.members.get(String(key))
      if (next === undefined && makes) place.members.set(String(key), (next = new Place()))
      if (next === undefined) return undefined
      place = next
    }
    return place
  }

  set(tree: AimTree): void {
    this.members.clear()
    this.isArray = Array.isArray(tree)
    this.value = undefined
    if (isBranch(tree)) {
      // an object without members is told of by itself
      if (Object.keys(tree).length === 0) this.value = tree
      for (const [key, member] of Object.entries(tree)) this.at([key], true)!.set(member)
    } else this.value = tree
  }

  tree(): AimTree | undefined {
    if (this.members.size === 0) return this.value
    const isContainer = this.value === undefined || isBranch(this.value) || Array.isArray(this.value)
    if (!isContainer) throw new PythonError('ValueError', 'something below a value')
    const members = [...this.members].flatMap(([key, place]) => {
      const tree = place.tree()
      return tree === undefined ? [] : [[key, tree] as const]
    })
    return Object.fromEntries(members)
  }
}

/** An exception of Python's, to be told to the client. */
export class PythonError extends Error {
  readonly className: string

  constructor(className: string, message: string) {
    super(message)
    this.className = className
  }
}

export class FakeRun {
  readonly meta = new Place()
  readonly seqs = new Place()
  readonly props: { name?: string; experiment?: string; description?: string } = {}
  readonly tags = new Set<string>()
  readonly checkIns = new Set<string>()
  /** Clients that have taken it over. */
  readonly locks = new Set<string>()
}

/** Instructions to a tree that nobody would want twice or in another order. */
export function treeCall(place: Place, method: string, args: readonly AimTree[]): AimTree {
  const path = (args[0] ?? []) as readonly Key[]
  if (!Array.isArray(path)) throw new PythonError('TypeError', 'a path is a list')
  const there = place.at(path, false)
  switch (method) {
    case '__setitem__':
      place.at(path, true)!.set(args[1]!)
      return null
    case 'update': {
      const pairs = args[1]
      if (!Array.isArray(pairs)) throw new PythonError('TypeError', 'values are pairs')
      const below = place.at(path, true)!
      for (const [key, value] of pairs as [Key, AimTree][]) below.at([key], true)!.set(value)
      return null
    }
    case 'make_array':
      place.at(path, true)!.isArray = true
      return null
    case 'collect': {
      const tree = there?.tree()
      if (tree === undefined) throw new PythonError('KeyError', `no ${path.join('/')}`)
      return tree
    }
    default:
      throw new PythonError('AttributeError', `a tree has no ${method}`)
  }
}

/** Whether some content is large by nature. */
export function hasBlob(tree: AimTree): boolean {
  if (tree instanceof AimBlob) return true
  if (tree instanceof AimCustom) return Object.values(tree.members).some(hasBlob)
  if (Array.isArray(tree)) return tree.some(hasBlob)
  return isBranch(tree) && Object.values(tree).some(hasBlob)
}
