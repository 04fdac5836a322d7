/**
 * Series → keys of W&B's lines, and our run ids → W&B's.
 *
 * W&B takes any text as a key and keeps it literally. Only what a line has of its own is moved away, and what could
 * be taken for something else. Each rule can be read backwards, so no two series share a key of a file:
 *
 *   series                     key                  file
 *   train/loss                 train/loss           history
 *   loss, context val          loss -- val          history
 *   a -- b                     a --- b              history   each ` --…` of a name has one dash more
 *   _step, _step_              _step_, _step__      history   so have those of W&B's own fields
 *   system/gpu.0.temp          system.gpu.0.temp    events    W&B's system metrics
 */
import { createHash } from 'node:crypto'
import type { RunId } from '../../core/types.ts'

const SEPARATOR = ' -- '
const SYSTEM = 'system/'
const MAX_RUN_ID_CHARS = 64
const HASH_CHARS = 16

/** The key of a series, in the file that `isSystem` tells. */
export function keyOf(name: string, context: string): string {
  const isEvent = isSystem(name)
  const own = (isEvent ? name.slice(SYSTEM.length) : name).replace(/ -(-+)(?= |$)/g, ' --$1')
  const key = context === '' ? own : own + SEPARATOR + context
  if (isEvent) return `system.${key}`
  return /^_(?:step|runtime|timestamp|wandb)_*$/.test(key) ? `${key}_` : key
}

/** Whether a series is what W&B calls a system metric: it has a file of its own. */
export function isSystem(name: string): boolean {
  return name.startsWith(SYSTEM) && name.length > SYSTEM.length
}

/**
 * A run's id at W&B, which becomes a part of addresses: our own where it can be one, else one that no other run of
 * ours has.
 */
export function remoteRunId(id: RunId): string {
  const isPlain = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(id) && id.length <= MAX_RUN_ID_CHARS
  if (isPlain && !/-[0-9a-f]{16}$/.test(id)) return id
  const hash = createHash('sha256').update(id).digest('hex').slice(0, HASH_CHARS)
  const readable = id.slice(0, MAX_RUN_ID_CHARS - HASH_CHARS - 1).replace(/[^A-Za-z0-9_-]/g, '_')
  return `${readable}-${hash}`
}
