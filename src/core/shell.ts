/** Commands that are printed so that somebody pastes them. */

/** Needs no quotes in any shell. */
const PLAIN = /^[\p{L}\p{N}_@%+=:,./-]+$/u
/** The same, with the separator of paths there. */
const PLAIN_WINDOWS = /^[\p{L}\p{N}_@+=:,./\\-]+$/u

/** One word of a command line, as the shell of this platform reads it back. */
export function shellWord(text: string, platform: NodeJS.Platform = process.platform): string {
  // cmd and PowerShell alike; neither name can hold a quotation mark there
  if (platform === 'win32') return PLAIN_WINDOWS.test(text) ? text : `"${text}"`
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** The command that sends what is pending of a run, or of all runs below a folder. */
export function syncCommandFor(folder: string): string {
  return `npx tracelet sync ${shellWord(folder)}`
}
