/** What the official reader asks of a run, beside its plain fields. */
import { createHash } from 'node:crypto'
import type { Answering } from './graphql.ts'
import { withWords } from './json.ts'
import type { StandInRun } from './run.ts'

type Arguments = Readonly<Record<string, unknown>>

/** What the reader asks before a scan: the last step, and how often each key is there. */
export function historyKeys(run: StandInRun): object {
  const keys: Record<string, { typeCounts: { type: string; count: number }[] }> = {}
  let lastStep = -1
  for (const row of run.rows()) {
    lastStep = Math.max(lastStep, Number(row._step ?? -1))
    for (const [key, value] of Object.entries(row)) {
      const counts = (keys[key] ??= { typeCounts: [] }).typeCounts
      const type = typeof value === 'object' ? 'map' : typeof value
      const count = counts.find((one) => one.type === type)
      if (count) count.count++
      else counts.push({ type, count: 1 })
    }
  }
  return { keys, lastStep, sets: [] }
}

/** Nothing is in Parquet files: the reader takes pages of the history for all of it. */
export function parquetHistory(run: StandInRun, keys: readonly string[]): Answering {
  const liveData = run.rows().map((row) => withWords(Object.fromEntries(keys.map((key) => [key, row[key]]))))
  return { __typename: 'ParquetHistory', parquetUrls: [], liveData }
}

/** Lines with minStep <= _step < maxStep; without these a sample of all. */
export function historyBetween(run: StandInRun, { minStep, maxStep, samples }: Arguments): string[] {
  if (minStep == null && maxStep == null) return thinned(run.history, Number(samples ?? run.history.length))
  const from = Number(minStep ?? 0)
  const to = Number(maxStep ?? Number.POSITIVE_INFINITY)
  const steps = run.steps()
  return run.history.filter((_line, n) => steps[n]! >= from && steps[n]! < to)
}

export function sampled(run: StandInRun, spec: string): unknown[] {
  const { keys, samples } = JSON.parse(spec) as { keys: string[]; samples: number }
  const rows = run.rows().filter((row) => keys.every((key) => key in row))
  return thinned(rows, samples).map((row) =>
    withWords(Object.fromEntries(keys.map((key) => [key, row[key]]))),
  )
}

/** Evenly, as an example of a sample; the first and the last are among them. */
export function thinned<Item>(items: readonly Item[], count: number): Item[] {
  if (items.length <= count) return [...items]
  return Array.from({ length: count }, (_, i) => items[Math.round((i * (items.length - 1)) / (count - 1))]!)
}

export function filesOf(
  run: StandInRun,
  { names, pattern, after, first }: Arguments,
  sign: (path: string) => string,
): Answering {
  const wanted = new Set(names as string[] | null)
  const like = typeof pattern === 'string' ? likePattern(pattern) : undefined
  const paths = [...run.files.keys()].filter(
    (path) => (wanted.size === 0 || wanted.has(path)) && (like?.test(path) ?? true),
  )
  const from = after == null ? 0 : Number(after) + 1
  const to = from + Number(first ?? 50)
  const edges = paths.slice(from, to).map((name, i) => {
    const bytes = run.files.get(name)!
    return {
      cursor: String(from + i),
      node: {
        __typename: 'File',
        id: Buffer.from(`File:${run.path}/${name}`).toString('base64url'),
        name,
        url: () => sign(name),
        directUrl: () => sign(name),
        sizeBytes: String(bytes.length),
        mimetype: null,
        updatedAt: run.fileTimes.get(name)!.toISOString(),
        md5: createHash('md5').update(bytes).digest('base64'),
      },
    }
  })
  return {
    __typename: 'FileConnection',
    edges,
    pageInfo: { endCursor: edges.at(-1)?.cursor ?? null, hasNextPage: to < paths.length },
  }
}

/** Each as it was sent: a time, `ERROR ` of what went to stderr, the text; or structured. */
export function logLinesOf(run: StandInRun, { first, after, last }: Arguments): Answering {
  const all = run.output
  const from = last != null ? Math.max(0, all.length - Number(last)) : after == null ? 0 : Number(after) + 1
  const to = last != null ? all.length : from + Number(first ?? 1000)
  const edges = all.slice(from, to).map((line, i) => ({
    cursor: String(from + i),
    node: { __typename: 'LogLine', number: from + i, ...readConsoleLine(line) },
  }))
  return {
    __typename: 'LogLineConnection',
    edges,
    pageInfo: { endCursor: edges.at(-1)?.cursor ?? null, hasNextPage: to < all.length },
  }
}

/** A line of `output.log`, of either form. */
export function readConsoleLine(line: string): {
  readonly timestamp: string | null
  readonly level: string | null
  readonly label: string | null
  readonly line: string
} {
  if (line.startsWith('{')) {
    const { ts, content, level = null, label = null } = JSON.parse(line) as Record<string, string>
    return { timestamp: ts ?? null, level, label, line: content ?? '' }
  }
  const [, isError, timestamp = null, text = line] = /^(ERROR )?(\d{4}-\S+) (.*)$/s.exec(line) ?? []
  return { timestamp, level: isError ? 'error' : null, label: null, line: text }
}

/** SQL's LIKE, where `%` is anything. */
function likePattern(pattern: string): RegExp {
  const parts = pattern.split('%').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}
