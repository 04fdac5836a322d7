/**
 * How what a run logs is called in TensorBoard.
 *
 *     no context               the name           train/loss
 *     with a context           name [context]     train/loss [val]
 *     taken by another kind    name [%kind]       train/loss [%histograms]
 *
 * No two series share a tag: in a context `%` and `[` are written `%25` and `%5B`, so the last ` [` of a tag begins
 * its context, and a name without context that looks as if it had one, is empty, or is a tag TensorBoard or
 * tracelet uses otherwise, gets the empty context ` []`. The context stands last, so that TensorBoard still groups
 * by the part of the name before the first `/`.
 *
 * TensorBoard shows a tag of a run on one dashboard only, that of what came first; a scalar and a histogram of one
 * name would hide each other. So the kind that comes second is told apart, by what no context can look like.
 */

/** Where a run's records stand in TensorBoard's Text tab. */
export const TEXT_TAGS = {
  params: 'tracelet/params',
  tags: 'tracelet/tags',
  state: 'tracelet/state',
  notes: 'tracelet/notes',
  rewind: 'tracelet/rewind',
} as const

/** TensorBoard finds the rows of its HParams table by these. */
export const HPARAMS_TAGS = {
  experiment: '_hparams_/experiment',
  sessionStart: '_hparams_/session_start_info',
  sessionEnd: '_hparams_/session_end_info',
} as const

const RESERVED: ReadonlySet<string> = new Set([
  '',
  ...Object.values(TEXT_TAGS),
  ...Object.values(HPARAMS_TAGS),
])
const LOOKS_LIKE_CONTEXT = / \[[^[]*\]$/s

export function tagOf(name: string, context: string): string {
  if (context === '') return RESERVED.has(name) || LOOKS_LIKE_CONTEXT.test(name) ? `${name} []` : name
  return `${name} [${context.replaceAll('%', '%25').replaceAll('[', '%5B')}]`
}

/** TensorBoard's plugins: what is shown on one dashboard. */
export type TagKind = 'scalars' | 'histograms' | 'images' | 'text' | 'pr_curves'

/** Plain tags of one run, with the kind that has each. Kept in the cursor. */
export type TagOwners = readonly (readonly [tag: string, owner: TagKind])[]

/**
 * More would not fit into a cursor's state. The second half is for names that were met as two kinds: what is shown
 * under which tag must not change. What lies beyond is decided anew after a restart.
 */
const MAX_MET_BYTES = 16_384
const MAX_KEPT_BYTES = 2 * MAX_MET_BYTES

/** Which kind of a run has which tag: the one that was met first since the run was opened, or in a cursor. */
export class TagBook {
  readonly #owners: Map<string, TagKind>
  readonly #kept: (readonly [tag: string, owner: TagKind])[]
  readonly #onShared: (plain: string, tag: string) => void
  #keptBytes: number

  /** @param onShared told of a name at its first tag of a second kind */
  constructor(kept: TagOwners = [], onShared: (plain: string, tag: string) => void = () => {}) {
    this.#owners = new Map(kept)
    this.#kept = [...kept]
    this.#keptBytes = Buffer.byteLength(JSON.stringify(kept))
    this.#onShared = onShared
  }

  get kept(): TagOwners {
    return this.#kept
  }

  tag(kind: TagKind, name: string, context = ''): string {
    const plain = tagOf(name, context)
    // Only series have contexts.
    if (context !== '') return plain
    const owner = this.#owners.get(plain)
    if (owner === undefined) {
      this.#owners.set(plain, kind)
      this.#keep(plain, kind, MAX_MET_BYTES)
    }
    if (owner === undefined || owner === kind) return plain
    const apart = `${plain} [%${kind}]`
    if (!this.#owners.has(apart)) {
      this.#owners.set(apart, kind)
      if (!this.#kept.some(([known]) => known === plain)) this.#keep(plain, owner, MAX_KEPT_BYTES)
      this.#onShared(plain, apart)
    }
    return apart
  }

  #keep(tag: string, owner: TagKind, maxBytes: number): void {
    const bytes = Buffer.byteLength(JSON.stringify([tag, owner])) + 1
    if (this.#keptBytes + bytes > maxBytes) return
    this.#keptBytes += bytes
    this.#kept.push([tag, owner])
  }
}

/** Upper bound of a tag's UTF-8 length, from that of the series' name and context together. */
export function maxTagBytes(nameBytes: number): number {
  return nameBytes * 3 + ' [] [%histograms]'.length
}
