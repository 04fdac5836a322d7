/** At most so many UTF-16 units, an ellipsis for what is left out, and never half of a pair of surrogates. */
export function cutText(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
