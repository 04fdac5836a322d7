/** What the standard output is: a terminal with a width and colours, or something that is read by a program. */

/** Columns to keep to; undefined where the output is not a terminal. */
export function terminalColumns(): number | undefined {
  if (!process.stdout.isTTY) return undefined
  // a terminal that does not know its size says 0
  return process.stdout.columns || 80
}

/** Takes away the line that the cursor is in. */
export const CLEAR_LINE = '\r\x1b[K'

export type Paint = (text: string) => string
export interface Palette {
  readonly bold: Paint
  readonly dim: Paint
  readonly red: Paint
  readonly green: Paint
  readonly yellow: Paint
  readonly cyan: Paint
}

/** Colours on a terminal that wants them (https://no-color.org), else the text as it is. */
export function palette(environment: NodeJS.ProcessEnv = process.env, isTerminal?: boolean): Palette {
  const wantsColours =
    (isTerminal ?? process.stdout.isTTY === true) && !environment.NO_COLOR && environment.TERM !== 'dumb'
  const sgr =
    (code: number, end: number): Paint =>
    (text) =>
      wantsColours && text !== '' ? `\x1b[${code}m${text}\x1b[${end}m` : text
  return {
    bold: sgr(1, 22),
    dim: sgr(2, 22),
    red: sgr(31, 39),
    green: sgr(32, 39),
    yellow: sgr(33, 39),
    cyan: sgr(36, 39),
  }
}
