/**
 * How a series is called in TensorBoard.
 *
 *     no context               the name           train/loss
 *     with a context           name [context]     train/loss [val]
 *
 * No two series share a tag: in a context `%` and `[` are written `%25` and `%5B`, so the last ` [` of a tag begins
 * its context, and a name without context that looks as if it had one, is empty, or is a tag TensorBoard or
 * tracelet uses otherwise, gets the empty context ` []`. The context stands last, so that TensorBoard still groups
 * by the part of the name before the first `/`.
 */

/** Where a run's records stand in TensorBoard's Text tab. */
export const TEXT_TAGS = {
  params: 'tracelet/params',
  tags: 'tracelet/tags',
  state: 'tracelet/state',
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

/** Upper bound of a tag's UTF-8 length, from that of the series' name and context together. */
export function maxTagBytes(nameBytes: number): number {
  return nameBytes * 3 + 3
}
