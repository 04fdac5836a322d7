/** What the program printed → lines of `output.log`, as the SDK writes them. */
import type { RunRecord } from '../../core/types.ts'

/** Longer lines go in pieces: the server takes 10 MiB in one, and nobody reads that much. */
const MAX_LINE_CHARS = 512 * 1024

/**
 * A line each: ISO time (UTC, microseconds), a space, the text; of stderr behind `ERROR `.
 * @param isStructured as JSON, for servers that offer STRUCTURED_CONSOLE_LOGS
 */
export function outputLines(
  { stream, text, time }: Extract<RunRecord, { kind: 'console' }>,
  isStructured: boolean,
): string[] {
  const ts = new Date(time).toISOString().replace('Z', '000')
  const isError = stream === 'stderr'
  return text
    .split('\n')
    .flatMap(pieces)
    .map((content) =>
      isStructured
        ? JSON.stringify({ ts, content, ...(isError && { level: 'error' }) })
        : `${isError ? 'ERROR ' : ''}${ts} ${content}`,
    )
}

export function pieces(line: string): string[] {
  if (line.length <= MAX_LINE_CHARS) return [line]
  const all: string[] = []
  for (let at = 0; at < line.length; at += MAX_LINE_CHARS) all.push(line.slice(at, at + MAX_LINE_CHARS))
  return all
}
