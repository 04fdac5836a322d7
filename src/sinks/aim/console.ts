/** What the program printed, as Aim's own client keeps it (aim/ext/resource/tracker.py): a line each. */

/** They move the cursor; colours stay. */
const CURSOR_MOVES = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*[A-Da-d]`, 'g')

/** Of a line that was drawn again and again, as progress bars are, the last is kept. */
export function shownLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(CURSOR_MOVES, '').replace(/\r+$/, '').split('\r').at(-1)!)
}
