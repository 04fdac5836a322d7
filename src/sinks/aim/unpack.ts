/** Reads packed trees (packed.ts). */
import { MARK, TYPE } from './packed.ts'
import { AimBlob, AimCustom, type AimTree } from './tree.ts'

type Node =
  | { readonly leaf: AimTree }
  | { readonly custom?: string; readonly isArray: boolean; readonly members: Map<string, Node> }

/**
 * Keys that are numbers are spelled in digits; ints are bigints.
 * @throws RangeError when the bytes end in the midst of an entry, Error for a type or a place that is none
 */
export function unpackTree(bytes: Buffer): AimTree {
  let root: Node | undefined
  for (let at = 0; at < bytes.length; ) {
    const pathBytes = bytes.readUInt32LE(at)
    const pathAt = at + 4
    const valueBytes = bytes.readUInt32LE(pathAt + pathBytes + 1)
    const valueAt = pathAt + pathBytes + 5
    at = valueAt + valueBytes
    if (at > bytes.length) throw new RangeError('a packed tree ends in the midst of an entry')
    const isBlob = bytes[pathAt + pathBytes] === 1
    const node = nodeOf(bytes.subarray(valueAt, at), isBlob)
    const path = pathOf(bytes.subarray(pathAt, pathAt + pathBytes))
    const last = path.pop()
    if (last === undefined) {
      root = node
      continue
    }
    root ??= branch()
    membersOf(path.reduce((parent, key) => below(parent, key), root)).set(last, node)
  }
  return treeOf(root ?? branch())
}

function branch(isArray = false, custom?: string): Node {
  return { isArray, members: new Map(), ...(custom !== undefined && { custom }) }
}

function below(parent: Node, key: string): Node {
  const members = membersOf(parent)
  const found = members.get(key) ?? branch()
  members.set(key, found)
  return found
}

function membersOf(node: Node): Map<string, Node> {
  if ('leaf' in node) throw new Error('a packed tree has something below a value')
  return node.members
}

function pathOf(bytes: Buffer): string[] {
  const path: string[] = []
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] === MARK) {
      path.push(`${bytes.readBigInt64BE(at + 1)}`)
      at += 10
      continue
    }
    const end = bytes.indexOf(MARK, at)
    if (end === -1) throw new RangeError('a path of a packed tree has no end')
    path.push(bytes.toString('utf8', at, end))
    at = end + 1
  }
  return path
}

function nodeOf(value: Buffer, isBlob: boolean): Node {
  const rest = value.subarray(1)
  switch (value[0]) {
    case TYPE.array:
      return branch(true)
    case TYPE.object:
      return branch()
    case TYPE.custom:
      return branch(false, rest.toString())
    case TYPE.null:
      return { leaf: null }
    case TYPE.bool:
      return { leaf: rest[0] !== 0 }
    case TYPE.int:
      return { leaf: rest.readBigInt64LE() }
    case TYPE.float:
      return { leaf: rest.readDoubleLE() }
    case TYPE.text:
      return { leaf: isBlob ? new AimBlob(rest.toString()) : rest.toString() }
    case TYPE.bytes:
      return { leaf: isBlob ? new AimBlob(Buffer.from(rest)) : Buffer.from(rest) }
    default:
      throw new Error(`a packed tree has a value of type ${value[0]}`)
  }
}

function treeOf(node: Node): AimTree {
  if ('leaf' in node) return node.leaf
  const members = [...node.members].map(([key, member]) => [key, treeOf(member)] as const)
  if (node.isArray) return members.map(([, member]) => member)
  const tree = Object.fromEntries(members)
  return node.custom === undefined ? tree : new AimCustom(node.custom, tree)
}
