/** What Aim calls a context: an object that tells apart sequences of one name, found by its hash. */
import { hashOf } from './hash.ts'

export interface AimContext {
  readonly hash: bigint
  readonly members: Readonly<Record<string, string>>
}

const known = new Map<string, AimContext>()
/** Contexts are few; a program that makes them without end must not fill the memory. */
const MAX_KNOWN = 10_000

/**
 * `''` is Aim's empty context, `subset=val, rank=0` an object of texts, and any other text `{ subset: text }`, which is
 * what Aim's own integrations have most often.
 */
export function contextOf(text: string): AimContext {
  const found = known.get(text)
  if (found !== undefined) return found
  const members = membersOf(text)
  const context = { hash: hashOf(members), members }
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(text, context)
  return context
}

function membersOf(text: string): Readonly<Record<string, string>> {
  if (text === '') return {}
  const pairs = text.split(',').map((part) => /^\s*([^=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(part))
  if (!pairs.every((pair) => pair !== null)) return { subset: text }
  const members = Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]))
  return Object.keys(members).length === pairs.length ? members : { subset: text }
}
