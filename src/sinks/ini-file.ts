/** Files of settings and credentials as Python's `configparser` has them. */
import { readFileSync } from 'node:fs'

/** Entries of a section, names in lower case; empty where the file cannot be read or has no such section. */
export function readIniSection(path: string, name: string): Readonly<Record<string, string>> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return {}
  }
  const found: Record<string, string> = {}
  let section = ''
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[([^\]]*)\]/.exec(line)
    if (header) section = header[1]!
    const entry = /^\s*([^#;=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*$/.exec(line)
    if (section === name && !header && entry) found[entry[1]!.toLowerCase()] = entry[2]!
  }
  return found
}
