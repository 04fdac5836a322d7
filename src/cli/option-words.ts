/** Options of a backend on a command line: `KEY=VALUE`, each value as its table wants it. */
import type { OptionRow, OptionTable } from '../core/options.ts'
import { redactText } from '../core/redact.ts'
import { UsageError, words } from './command.ts'
import { plain } from './text.ts'

/** @param flag the option of the command that has them, for messages @throws UsageError */
export function keysAndValues(given: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(given.map((word) => keyAndValue(word, flag)))
}

/** What cannot be converted is left for the table to refuse, in its words. @throws UsageError for a secret */
export function typedOptions(
  texts: Readonly<Record<string, string>>,
  table: OptionTable,
  flag: string,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, typed(table[key], key, text, flag)]),
  )
}

function keyAndValue(word: string, flag: string): [string, string] {
  const at = word.indexOf('=')
  if (at < 1) throw new UsageError(`${flag} takes KEY=VALUE, but is '${plain(word)}'`)
  return [word.slice(0, at), word.slice(at + 1)]
}

function typed(row: OptionRow | undefined, key: string, text: string, flag: string): unknown {
  if (row?.secret || redactText(text) !== text) {
    const variables = row?.env?.length ? `: set ${row.env.join(' or ')} instead` : ''
    throw new UsageError(`${flag} ${key}: a command line is no place for a secret${variables}`)
  }
  if (row?.type === 'number') return text.trim() === '' ? text : Number(text)
  if (row?.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (row?.type === 'strings') return words([text])
  return text
}
