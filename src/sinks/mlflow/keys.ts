/**
 * MLflow's rule for the keys of metrics, params and tags, and an injective mapping of every other name onto it.
 *
 * Allowed: 1–250 of letters and digits of any script, `_ - . space : /`, as a path that does not resolve to
 * another one (`a//b`, `/a`, `a/`, `.`, `a/../b`) and does not begin with two dots.
 *
 *   name                                  key
 *   loss                                  loss
 *   loss, context val                     loss -- val
 *   loss@5                                loss_5-9f2c…      hash of name and context: 16 hex digits
 *   a-0123456789abcdef                    a-0123…-77aa…     looks like a mapped one, so it is mapped too
 */
import { createHash } from 'node:crypto'

export interface MappedKey {
  readonly key: string
  /** The hash in the key when it is not the name itself; '' when it is. */
  readonly hash: string
}

const MAX_KEY_CHARS = 250
const HASH_CHARS = 16
const ALLOWED = /^[/\p{L}\p{N}_.\- :]+$/u
const NOT_ALLOWED = /[^/\p{L}\p{N}_.\- :]/gu
const SEPARATOR = ' -- '
const LOOKS_MAPPED = /-[0-9a-f]{16}$/

/** The key of a series, parameter or tag. Two different (name, context) never share a key. */
export function keyOf(name: string, context = ''): MappedKey {
  const plain = context === '' ? name : name + SEPARATOR + context
  if (isAllowed(plain) && isPlain(name, context, plain)) return { key: plain, hash: '' }
  const hash = createHash('sha256')
    .update(JSON.stringify([name, context]))
    .digest('hex')
    .slice(0, HASH_CHARS)
  const readable = plain
    .slice(0, MAX_KEY_CHARS)
    .split('/')
    .map((segment) => (/^\.{0,2}$/.test(segment) ? '_' : segment))
    .join('/')
    .slice(0, MAX_KEY_CHARS - HASH_CHARS - 1)
    .replace(NOT_ALLOWED, '_')
    .replace(/^\.\./, '__')
  return { key: `${readable}-${hash}`, hash }
}

export function isAllowed(key: string): boolean {
  const fits = key.length <= MAX_KEY_CHARS && ALLOWED.test(key) && !key.startsWith('..')
  return fits && !key.split('/').some((part) => /^\.{0,2}$/.test(part))
}

/** Whether (name, context) can be told from the plain key alone. */
function isPlain(name: string, context: string, plain: string): boolean {
  if (LOOKS_MAPPED.test(plain)) return false
  const at = plain.indexOf(SEPARATOR)
  return context === '' ? at === -1 : name !== '' && at === name.length
}
