/**
 * Makes once what MLflow gives an id of its own: runs, logged models, versions of registered models.
 *
 * A create whose answer is lost cannot be repeated blindly, so each carries a mark of ours in a tag and is looked
 * for by it first. One that was given up may still be carried out late, beside another: then one stays.
 */
import type { Refusal } from '../http.ts'
import type { ApiReply } from './api.ts'

export interface Making<Thing extends object> {
  /** What is made, and the mark that it carries: no other has the same. */
  readonly mark: string
  /** Those of the mark, in an order that never changes. */
  readonly find: () => Promise<readonly Thing[] | Refusal>
  readonly create: () => Promise<ApiReply>
  readonly made: (answer: Readonly<Record<string, unknown>>) => Thing
  readonly refusal: (reply: ApiReply) => Refusal | Promise<Refusal>
  /** Of one that nothing was done with. */
  readonly remove: (late: Thing) => Promise<unknown>
}

/** Marks whose create may be carried out late. Outlives a sink, which is made anew for each attempt to open. */
const unclear = new Set<string>()

export async function createOnce<Thing extends object>(making: Making<Thing>): Promise<Thing | Refusal> {
  const existing = await keepOne(making)
  if (existing !== undefined) return existing
  const reply = await making.create()
  if (reply.status !== 'ok') {
    if (reply.status === 'refused' && reply.unclear) unclear.add(making.mark)
    return making.refusal(reply)
  }
  const created = making.made(reply.json)
  if (!unclear.has(making.mark)) return created
  const kept = await keepOne(making)
  if (kept === undefined || !('status' in kept)) unclear.delete(making.mark)
  return kept ?? created
}

/** The first there is; others beside it go where they may be our own late ones. */
async function keepOne<Thing extends object>(making: Making<Thing>): Promise<Thing | Refusal | undefined> {
  const found = await making.find()
  if ('status' in found) return found
  const [kept, ...late] = found
  if (unclear.has(making.mark)) for (const one of late) await making.remove(one)
  return kept
}
